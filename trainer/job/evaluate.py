"""Metrics of a finished run on a split, with the confusion matrix and a table by class."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainer.job.base import Job
from trainer.report.console import table
from trainer.report.csv_file import write_csv
from trainer.report.images import confusion, confusion_matrix
from trainer.trained.predictions import Predictions
from trainer.trained.tta import View

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.training.evaluate import Evaluation

Predict = Callable[[View | list[View]], Predictions]


class Evaluate(Job):
    """Evaluates `run`, a run folder (its best checkpoint) or a checkpoint, on `split`.

    The run's own settings apply unless the command line overrides them. The probabilities of
    several `runs` are averaged; `tta` averages them over views of each image too.
    """

    def __init__(self, *, tta: View | list[View] = "none") -> None:
        self.tta: View | list[View] = tta

    def __call__(self, *, predict: Predict, folder: RunFolder, console: Console) -> dict[str, Any]:
        """Evaluate; write `classes.csv`, if there are classes, and for labels `confusion.png`."""
        predictions = predict(self.tta)
        console.say(comparison(predictions))
        by_class = write_classes(folder.path, predictions.classes, predictions.evaluation)
        if by_class is not None:
            console.say(by_class)
        console.say(f"run folder    {folder.path}")
        return summary(predictions)


def summary(predictions: Predictions) -> dict[str, Any]:
    """Return metrics, checkpoints and members of an ensemble, for result.json."""
    paths = [str(path) for path in predictions.checkpoints]
    values: dict[str, Any] = {name: e.metrics for name, e in predictions.columns.items()}
    values["checkpoint"] = paths[0]
    if predictions.members:
        values["checkpoint"] = paths
        values["members"] = {name: e.metrics for name, e in predictions.members.items()}
    return values


def comparison(predictions: Predictions) -> Table:
    """Make a table of metrics, with a column per run and per state of postprocessing."""
    members = {Path(path).name: e for path, e in predictions.members.items()}
    if len(members) < len(predictions.members):  # two run folders share a name
        members = predictions.members
    columns = members | predictions.columns
    rows = [
        [metric, *(f"{e.metrics.get(metric, math.nan):.4f}" for e in columns.values())]
        for metric in predictions.evaluation.metrics
    ]
    checkpoints = " and ".join(str(path) for path in predictions.checkpoints)
    return table(f"{checkpoints} on {predictions.split}", ["metric", *columns], rows)


def write_classes(folder: Path, classes: tuple[str, ...], evaluation: Evaluation) -> Table | None:
    """Write `classes.csv` and, for labels, `confusion.png`; returns None without classes."""
    records = evaluation.records
    if "prediction" in records:
        matrix = confusion_matrix(records["label"], records["prediction"], len(classes))
        Image.fromarray(confusion(matrix, classes)).save(folder / "confusion.png")
        header, rows = ["class", "examples", "precision", "recall"], by_class(matrix, classes)
    elif "intersection" in records:
        header, rows = ["class", "union", "iou"], by_mask(records, classes)
    else:
        return None
    write_csv(folder / "classes.csv", [header, *rows])
    return table("by class", header, rows)


def by_class(matrix: Tensor, classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, examples, precision and recall by class, from counts [C label, C prediction]."""
    hits, labels, predictions = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision, recall = hits / predictions.clamp(min=1), hits / labels.clamp(min=1)
    return [
        [name, str(int(labels[i])), f"{precision[i]:.4f}", f"{recall[i]:.4f}"]
        for i, name in enumerate(classes)
    ]


def by_mask(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[list[str]]:
    """Return name, pixels of the union, and IoU by class, from pixel counts [N, C] per image."""
    intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
    iou = intersection / union.clamp(min=1)
    return [[name, f"{union[i]:.0f}", f"{iou[i]:.4f}"] for i, name in enumerate(classes)]
