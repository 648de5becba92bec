"""Metrics of a trained run on a split: the confusion matrix and a table by class with them."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainer.job.base import Job
from trainer.report.console import table
from trainer.report.images import confusion, confusion_matrix
from trainer.trained.predictions import Predictions, predict
from trainer.trained.tta import View

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from trainer.run.run import Run
    from trainer.training.evaluate import Evaluation


class Evaluate(Job):
    """Reads `run`, a run folder (its best checkpoint) or a checkpoint, on `split`.

    The run's own settings hold, but for what the command line says otherwise. Of several `runs` the
    probabilities are averaged; `tta` averages those over views of each image.
    """

    def __init__(self, *, tta: View | list[View] = "none") -> None:
        self.tta: View | list[View] = tta

    def __call__(self, run: Run) -> dict[str, Any]:
        """Evaluate and write `classes.csv`, and of class labels `confusion.png`."""
        reading = predict(run, self.tta)
        name = run.config["split"]
        run.console.say(comparison(reading, name))
        write_classes(run, reading.run.data.classes, reading.evaluation)
        run.console.say(f"run folder    {run.folder.path}")
        return summary(reading)


def summary(reading: Predictions) -> dict[str, Any]:
    """What result.json says of it."""
    paths = [str(path) for path in reading.checkpoints]
    found: dict[str, Any] = {name: e.metrics for name, e in reading.columns.items()}
    found["checkpoint"] = paths[0]
    if reading.members:
        found["checkpoint"] = paths
        found["members"] = {name: e.metrics for name, e in reading.members.items()}
    return found


def comparison(reading: Predictions, name: str) -> Table:
    """A row for each metric, a column for each run and for what comes of them."""
    members = {Path(path).name: e for path, e in reading.members.items()}
    if len(members) < len(reading.members):  # the names of the folders are not enough
        members = reading.members
    columns = members | reading.columns
    rows = [
        [metric, *(f"{e.metrics.get(metric, math.nan):.4f}" for e in columns.values())]
        for metric in reading.evaluation.metrics
    ]
    of = " and ".join(str(path) for path in reading.checkpoints)
    return table(f"{of} on {name}", ["metric", *columns], rows)


def write_classes(run: Run, classes: tuple[str, ...], evaluation: Evaluation) -> None:
    """A table by class where there are some, of class labels a picture of the confusion matrix."""
    records = evaluation.records
    if "prediction" in records:
        matrix = confusion_matrix(records["label"], records["prediction"], len(classes))
        Image.fromarray(confusion(matrix, classes)).save(run.folder.path / "confusion.png")
        header, rows = ["class", "examples", "precision", "recall"], by_class(matrix, classes)
    elif "intersection" in records:
        header, rows = ["class", "union", "iou"], by_mask(records, classes)
    else:
        return
    with (run.folder.path / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    run.console.say(table("by class", header, rows))


def by_class(matrix: Tensor, classes: tuple[str, ...]) -> list[list[str]]:
    """Name, examples, precision and recall of each class from counts [C, C]."""
    hits, labels, predictions = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision, recall = hits / predictions.clamp(min=1), hits / labels.clamp(min=1)
    return [
        [name, str(int(labels[i])), f"{precision[i]:.4f}", f"{recall[i]:.4f}"]
        for i, name in enumerate(classes)
    ]


def by_mask(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[list[str]]:
    """Name, pixels of the union and intersection over union of each class, of [N, C] pixels."""
    intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
    iou = intersection / union.clamp(min=1)
    return [[name, f"{union[i]:.0f}", f"{iou[i]:.4f}"] for i, name in enumerate(classes)]
