"""Metrics of all out-of-fold predictions together, by the task's own formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from trainer.report.csv_file import escape_formula
from trainer.storage.out_of_fold import ERRORS, INTERSECTION, LOGIT, UNION, Part
from trainer.task.base import Task
from trainer.task.classification import Classification
from trainer.task.multilabel import Multilabel
from trainer.task.regression import Regression
from trainer.task.segmentation import Segmentation
from trainer.training.evaluate import worst_group

Metrics = dict[str, float]

MEANS = {  # metrics that are means over examples: their mean by the sizes of the folds is exact
    *("loss", "accuracy", "nll", "brier", "top5_accuracy", "exact_match", "label_accuracy"),
    *("mse", "mae", "cost"),
}
PIXELS = "mean_iou"  # with it, `accuracy` is of pixels, whose number differs between examples


def means(metrics: Mapping[str, float]) -> Metrics:
    """Those of merged metrics that are right as means over the folds by size, and rmse."""
    kept = {name: value for name, value in metrics.items() if name in MEANS}
    if PIXELS in metrics:
        kept.pop("accuracy", None)
    if "rmse" in metrics and "mse" in kept:
        kept["rmse"] = kept["mse"] ** 0.5
    return kept


def metrics_of(task: object, parts: Sequence[Part]) -> Metrics:
    """The metrics of the rows of all folds, whose runs have the import path `task` as their task.

    Empty for another task, and where the files have not all that it needs.
    """
    compute = TASKS.get(str(task))
    return {} if compute is None else compute(parts)


def of_labels(parts: Sequence[Part], task: Task, read: Callable[..., Tensor | None]) -> Metrics:
    """Metrics from logits [n, C] and the labels that `read` makes of cells and classes."""
    logits, classes = matrix(parts, LOGIT)
    labels = read([row.get("label", "") for part in parts for row in part.rows], classes)
    if logits is None or labels is None:
        return {}
    records = task.records(logits, labels)
    names = [row.get("group", "") for part in parts for row in part.rows]
    if all(names):
        records["group"] = torch.from_numpy(np.unique(names, return_inverse=True)[1])
    metrics = task.metrics(records) | task.report(logits, records, classes).metrics
    return metrics | worst_group(records)


def of_masks(parts: Sequence[Part]) -> Metrics:
    """Metrics from pixel counts [n, C]; |A| + |B| = |A ∩ B| + |A ∪ B| gives the pixels."""
    (intersection, _), (union, _) = matrix(parts, INTERSECTION), matrix(parts, UNION)
    if intersection is None or union is None:
        return {}
    pixels = (intersection.double() + union).sum(1) / 2
    return Segmentation().metrics({"intersection": intersection, "union": union, "pixels": pixels})


def of_numbers(parts: Sequence[Part]) -> Metrics:
    """Metrics from errors, means and variances [n]."""
    if not all(set(ERRORS) <= part.numbers.keys() for part in parts):
        return {}
    columns = {name: np.concatenate([part.numbers[name] for part in parts]) for name in ERRORS}
    return Regression().metrics({name: torch.from_numpy(v) for name, v in columns.items()})


def matrix(parts: Sequence[Part], prefix: str) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers [n, C] of all rows by class, and the classes; None where a file lacks some."""
    columns = [part.of_class(prefix) for part in parts]
    classes = tuple(columns[0])
    if not classes or any(one.keys() != columns[0].keys() for one in columns):
        return None, ()
    values = [np.stack([one[name] for name in classes], 1) for one in columns]
    joined = np.concatenate(values)
    return (None, ()) if np.isnan(joined).any() else (torch.from_numpy(joined), classes)


def class_ids(cells: Sequence[str], classes: Sequence[str]) -> Tensor | None:
    """The class ids [n] of labels; None for a label that is not a class."""
    places = {escape_formula(name): i for i, name in enumerate(classes)}
    if not all(cell in places for cell in cells):
        return None
    return torch.tensor([places[cell] for cell in cells])


def multi_hot(cells: Sequence[str], classes: Sequence[str]) -> Tensor | None:
    """Labels such as `dog;car` as bool [n, C]; None for a label that is not a class."""
    labels = torch.zeros(len(cells), len(classes), dtype=torch.bool)
    places = {name: i for i, name in enumerate(classes)}
    for row, cell in zip(labels, cells, strict=True):
        escaped = cell.startswith("'") and escape_formula(cell[1:]) == cell
        names = cell[escaped:].split(";") if cell else []
        if not all(name in places for name in names):
            return None
        row[[places[name] for name in names]] = True
    return labels


TASKS: dict[str, Callable[[Sequence[Part]], Metrics]] = {
    "trainer.task.classification.Classification": lambda parts: of_labels(
        parts, Classification(), class_ids
    ),
    "trainer.task.multilabel.Multilabel": lambda parts: of_labels(parts, Multilabel(), multi_hot),
    "trainer.task.segmentation.Segmentation": of_masks,
    "trainer.task.regression.Regression": of_numbers,
}
