"""Metrics of a trained run on a split: the confusion matrix and a table by class with them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainer.console import table
from trainer.errors import DataError
from trainer.evaluate import Evaluation
from trainer.job.base import Job
from trainer.picture import confusion, confusion_matrix
from trainer.source import Source

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.run import Run


class Evaluate(Job):
    """Reads `run`, a run folder (its best checkpoint) or a checkpoint, on `split`.

    The run's own settings hold, but for what the command line says otherwise.
    """

    def __call__(self, run: Run) -> dict[str, Any]:
        """Evaluate and write `confusion.png` and `classes.csv`."""
        source = Source.at(run.config["run"])
        trained = run.like(source)
        held = source.checkpoint(run.console.warn)
        name = run.config["split"]
        split = getattr(trained.data, name)
        if not len(split):
            raise DataError(f"split={name} has no examples in this data set")
        trained.model.load_state_dict(held.model)
        feed = trained.loader.open(split, trained.device)
        evaluation = trained.evaluator(feed, split, poll=run.signals.check)
        rows = [[metric, f"{value:.4f}"] for metric, value in evaluation.metrics.items()]
        run.console.say(table(f"{held.path} on {name}", ["metric", name], rows))
        if "prediction" in evaluation.records:
            write_classes(run, trained.data.classes, evaluation)
        run.console.say(f"run folder    {run.folder.path}")
        return {name: evaluation.metrics, "checkpoint": str(held.path)}


def write_classes(run: Run, classes: tuple[str, ...], evaluation: Evaluation) -> None:
    """The confusion matrix as a picture, and precision and recall by class as a table."""
    records = evaluation.records
    matrix = confusion_matrix(records["label"], records["prediction"], len(classes))
    Image.fromarray(confusion(matrix, classes)).save(run.folder.path / "confusion.png")
    rows = by_class(matrix, classes)
    header = ["class", "examples", "precision", "recall"]
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
