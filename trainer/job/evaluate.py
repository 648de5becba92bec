"""Metrics of a finished run on a split, with the confusion matrix and a table by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer.core.metric import check_known
from trainer.core.text import count
from trainer.job.base import Job
from trainer.job.shared import by_group
from trainer.job.shared.box_pictures import box_pictures
from trainer.report.console import number, table
from trainer.report.csv_file import write_csv
from trainer.report.images import confusion, confusion_matrix
from trainer.task.shared.average_precision import PrecisionRecall
from trainer.task.shared.by_class import ByClass
from trainer.task.shared.by_label import counts, f1
from trainer.task.shared.ranking import average_precision
from trainer.trained.predictions import Predictions
from trainer.trained.tta import View

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.training.evaluate import Evaluation

ROWS = 100  # of the table by class
AP = ("ap", "ap_50", "ap_75", "ar_100")

Predict = Callable[[View | list[View]], Predictions]


class Evaluate(Job):
    """Evaluates `run`, a run folder (its best checkpoint) or a checkpoint, on `split`.

    The run's own settings apply unless the command line overrides them. The probabilities of
    several `runs` are averaged; `tta` averages them over views of each image too.
    """

    def __init__(self, *, tta: View | list[View] = "none") -> None:
        self.tta: View | list[View] = tta

    def __call__(
        self, *, predict: Predict, folder: RunFolder, console: Console, metrics: list[str] | None
    ) -> dict[str, Any]:
        """Evaluate; write `classes.csv`, if there are classes; for class ids `confusion.png`.

        For boxes, `detections.png` and `precision_recall.png`.
        """
        predictions = predict(self.tta)
        console.say(comparison(predictions, metrics))
        evaluation, classes = predictions.evaluation, predictions.classes
        if left_out := evaluation.left_out(predictions.split, classes):
            console.say(left_out)
        if seen := int(predictions.seen.sum()):
            every, were = count(len(predictions.seen), "example"), "was" if seen == 1 else "were"
            console.say(f"{seen} of the {every} {were} seen in training")
        by_class = write_classes(folder.path, classes, evaluation)
        if by_class is not None:
            console.say(by_class)
        if predictions.source is not None:
            for name, pixels in box_pictures(predictions.source, evaluation, classes).items():
                Image.fromarray(pixels).save(folder.path / f"{name}.png")
        finals = {predictions.split: evaluation}
        for groups in by_group.write(folder.path, finals, predictions.groups):
            console.say(groups)
        console.say(f"run folder    {folder.path}")
        return summary(predictions) | by_group.result(finals, predictions.groups)


def summary(predictions: Predictions) -> dict[str, Any]:
    """Return metrics, checkpoints and members of an ensemble, for result.json."""
    paths = [str(path) for path in predictions.checkpoints]
    values: dict[str, Any] = {name: e.metrics for name, e in predictions.columns.items()}
    values["checkpoint"] = paths[0]
    if predictions.members:
        values["checkpoint"] = paths
        values["members"] = {name: e.metrics for name, e in predictions.members.items()}
    return values | reports({predictions.split: predictions.evaluation})


def reports(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The details by class of each split, as the entry `report` of result.json; nothing if none."""
    details = {name: record for name, e in evaluations.items() if (record := e.report.record())}
    return {"report": details} if details else {}


def comparison(predictions: Predictions, metrics: list[str] | None) -> Table:
    """Make a table of metrics, by default all, with a column per run and before postprocessing.

    Raises ConfigError for metrics that there are not.
    """
    known = list(predictions.evaluation.metrics)
    check_known(metrics or (), known)
    members = {Path(path).name: e for path, e in predictions.members.items()}
    if len(members) < len(predictions.members):  # two run folders share a name
        members = predictions.members
    columns = members | predictions.columns
    rows = [
        [metric, *(number(e.metrics.get(metric, math.nan)) for e in columns.values())]
        for metric in metrics or known
    ]
    checkpoints = " and ".join(str(path) for path in predictions.checkpoints)
    return table(f"{checkpoints} on {predictions.split}", ["metric", *columns], rows)


def write_classes(folder: Path, classes: tuple[str, ...], evaluation: Evaluation) -> Table | None:
    """Write `classes.csv` and, for class ids, `confusion.png`; returns None without classes."""
    records = evaluation.records
    if "prediction" in records:
        pair = records["label"], records["prediction"]
        Image.fromarray(confusion(*pair, classes)).save(folder / "confusion.png")
        header = ["class", "examples", "precision", "recall", "f1"]
        rows = by_class(*pair, classes)
    elif "intersection" in records:
        header, rows = ["class", "union", "iou"], by_mask(records, classes)
    elif "verdict" in records:
        header, rows = ["class", "objects", *AP], by_box(records, classes)
    elif "label" in records:  # multi-hot
        header = ["class", "examples", "average precision", "precision", "recall", "f1"]
        rows = by_label(records, classes)
    else:
        return None
    known = [["" if cell == "–" else cell for cell in row] for row in rows]
    write_csv(folder / "classes.csv", [header, *known])
    title = "by class" if len(rows) <= ROWS else f"by class, the first {ROWS} of {len(rows):,}"
    return table(title, header, rows[:ROWS])


def by_class(labels: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, examples, precision, recall and F1 by class, from classes [N] and [N].

    Undefined ones are a dash.
    """
    measures = ByClass.of(confusion_matrix(labels, predictions, len(classes)))
    rows = torch.stack([measures.precision, measures.recall, measures.f1], 1).tolist()
    examples = map(str, measures.support.tolist())
    return [
        [name, number_of, *map(number, row)]
        for name, number_of, row in zip(classes, examples, rows, strict=True)
    ]


def by_label(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, examples and measures by class, from logits and labels [N, C] per image.

    A class without examples has no average precision and no recall; one that is never predicted has
    no precision.
    """
    logits, labels = records["logit"], records["label"]
    hits, predicted, actual = counts(logits, labels)
    measures = torch.stack(
        [
            average_precision(logits, labels),
            hits / predicted,
            hits / actual,
            f1(hits, predicted, actual),
        ]
    )
    return [
        [name, str(int(actual[i])), *map(number, measures[:, i].tolist())]
        for i, name in enumerate(classes)
    ]


def by_box(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, boxes, average precision and recall by class; of no box, dashes."""
    measures = PrecisionRecall.of_records(records, len(classes)).by_class(classes)
    return [
        [name, str(own["objects"]), *(number(float(own[measure])) for measure in AP)]
        for name, own in measures.items()
    ]


def by_mask(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, pixels of the union, and IoU by class, from pixel counts [N, C] per image.

    A class that neither occurs nor is predicted has no IoU.
    """
    intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
    iou = intersection / union
    return [[name, f"{union[i]:.0f}", number(float(iou[i]))] for i, name in enumerate(classes)]
