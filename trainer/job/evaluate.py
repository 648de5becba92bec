"""Metrics of a trained run on a split: the confusion matrix and a table by class with them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer.console import table
from trainer.errors import DataError
from trainer.evaluate import Evaluation
from trainer.job.base import Job
from trainer.picture import confusion, confusion_matrix
from trainer.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from trainer.dataset import Data
    from trainer.run import Run


class Evaluate(Job):
    """Reads `run`, a run folder (its best checkpoint) or a checkpoint, on `split`.

    The run's own settings hold, but for what the command line says otherwise.
    """

    def __call__(self, run: Run) -> dict[str, Any]:
        """Evaluate and write `confusion.png` and `classes.csv`."""
        reading = read(run)
        evaluation, name = reading.evaluation, run.config["split"]
        rows = [[metric, f"{value:.4f}"] for metric, value in evaluation.metrics.items()]
        run.console.say(table(f"{reading.checkpoint} on {name}", ["metric", name], rows))
        if "prediction" in evaluation.records:
            write_classes(run, reading.run.data.classes, evaluation)
        run.console.say(f"run folder    {run.folder.path}")
        return {name: evaluation.metrics, "checkpoint": str(reading.checkpoint)}


@dataclass(frozen=True)
class Reading:
    """What a trained run does on the split that is asked for."""

    run: Run  # with the trained weights
    checkpoint: Path
    evaluation: Evaluation
    seen: Tensor  # [N] whether the run was trained on each example


def read(run: Run) -> Reading:
    """Evaluate the run that `run` names on `split`."""
    source = Source.at(run.config["run"])
    trained = run.like(source)
    held = source.checkpoint(run.console.warn)
    name = run.config["split"]
    split = getattr(trained.data, name)
    if not len(split):
        raise DataError(f"split={name} has no examples in this data set")
    seen = torch.zeros(len(split), dtype=torch.bool)
    if (own := own_data(run, source, trained)) is not None:
        trained.data = replace(trained.data, mean=own.mean, std=own.std)
        if split.images is trained.data.train.images:
            seen = torch.isin(split.ids, own.train.ids)
    trained.model.load_state_dict(held.model)
    feed = trained.loader.open(split, trained.device)
    evaluation = trained.evaluator(feed, split, poll=run.signals.check)
    return Reading(trained, held.path, evaluation, seen)


def own_data(run: Run, source: Source, trained: Run) -> Data | None:
    """The data that the run was trained on, None where the command line names another source.

    Its ids compare with those of `trained.data`, the same source in other splits.
    """
    own = type(run)(run.config, run.folder, run.console, [], run.sources).like(source)
    before, now = own.config["dataset"], trained.config["dataset"]
    if any(before.get(key) != now.get(key) for key in ("_target_", "root")):
        return None
    same = before == now and own.config["seed"] == trained.config["seed"]
    return trained.data if same else own.data


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
