"""Scores of labels from the records of a window of epochs, and the mean probabilities they imply.

Early epochs know too little, and late ones have memorised wrong labels. The epochs that count are
those of a window fixed before anything is scored: parts of the epochs up to the best.

A store has of each epoch p_y, the prediction, and the logit of the label less the largest other
one, z_y − z_o. So p_o = p_y · exp(z_o − z_y) is known, and the class o where the prediction is
wrong. What remains of the probability is spread evenly over the other classes. Each record was made
before its example was trained on in that epoch.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from trainer.core.errors import DataError
from trainer.history.analysis import UNSEEN, History
from trainer.history.confident_joint import LabelErrors, confident_joint, thresholds

Score = Literal["aum", "loss", "self_confidence", "margin"]
FIELDS = "confidence", "prediction", "logit_margin"
SMALLEST = 2.0**-25  # half the smallest p_y of float16, for one that is stored as 0
AT_ONCE = 2**23  # probabilities in memory at once


def window(history: History, best: int, part: Sequence[float]) -> History:
    """The records of the epochs in (a · best, b · best], the parts a and b of [0, 1]; at least one.

    `best` counts epochs from 1.
    """
    last = max(math.floor(part[1] * best + 1e-9), 1)
    first = min(math.floor(part[0] * best + 1e-9), last - 1)
    fields = {name: records[first:last] for name, records in history.fields.items()}
    return replace(history, fields=fields)


def score(history: History, by: Score) -> np.ndarray:
    """The mean [n] over the epochs of z_y − z_o, of the loss, of p_y or of p_y − p_o."""
    if by == "margin":
        return mean_margin(history)
    fields = {"aum": "logit_margin", "loss": "loss", "self_confidence": "confidence"}
    return history.mean(fields[by])


def mean_margin(history: History) -> np.ndarray:
    """The mean [n] over the epochs of p_y − p_o, the normalised margin of Northcutt et al. 2021."""
    total, seen = np.zeros((2, len(history.ids)))
    pairs = zip(history.by_epoch("confidence"), history.by_epoch("logit_margin"), strict=True)
    for p_y, margin in pairs:
        difference = p_y - runner_up(p_y, margin)
        known = ~np.isnan(difference)
        total[known] += difference[known]
        seen += known
    with np.errstate(invalid="ignore"):  # 0 / 0 if never seen
        return total / seen


def runner_up(p_y: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """The largest probability [n] of another class, by p_y and z_y − z_o."""
    with np.errstate(over="ignore"):
        ratio = np.exp(-margin.astype(np.float64))
    return np.minimum(np.maximum(p_y, SMALLEST) * ratio, 1 - p_y)


def mean_probabilities(histories: Sequence[History], ids: np.ndarray, classes: int) -> np.ndarray:
    """The mean [k, C] over the epochs of all runs in which the dataset ids [k] were seen.

    NaN where they never were. Predictions of classes that there are not do not count.
    """
    at, labels = np.arange(len(ids)), labels_of(histories[0])[ids]
    p = np.zeros((len(ids), classes))
    even, own, seen = np.zeros((3, len(ids)))
    for p_y, prediction, margin in (each for h in histories for each in records(h, ids)):
        known = (prediction >= 0) & (prediction < classes) & ~(np.isnan(p_y) | np.isnan(margin))
        wrong = known & (prediction != labels)
        other = runner_up(p_y, margin)
        rest = (1 - p_y - np.where(wrong, other, 0)) / np.maximum(classes - 1 - wrong, 1)
        even[known] += rest[known]
        own[known] += (p_y - rest)[known]
        p[at[wrong], prediction[wrong].astype(np.int64)] += (other - rest)[wrong]
        seen += known
    p += even[:, None]
    p[at, labels] += own
    with np.errstate(invalid="ignore"):
        return p / seen[:, None]


def records(history: History, ids: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield p_y, prediction and z_y − z_o [k] of each epoch as float64, NaN where unseen."""
    for rows in zip(*(history.field(name) for name in FIELDS), strict=True):
        parts = []
        for row in rows:
            values = np.asarray(row)[ids]
            unseen = values == UNSEEN[values.dtype.name]
            parts.append(np.where(unseen, np.nan, values.astype(np.float64)))
        yield parts


def labels_of(history: History) -> np.ndarray:
    """The classes [M] by dataset id. Raises DataError where examples have none, or several."""
    if history.labels is None or history.labels.ndim != 1 or history.labels.dtype.kind not in "iu":
        raise DataError("label errors are estimated for one class per image only")
    return history.labels


def expected_errors(histories: Sequence[History], ids: np.ndarray, classes: int) -> LabelErrors:
    """Estimate the label errors among the dataset ids [k] from their mean probabilities."""
    labels = labels_of(histories[0])[ids]
    parts = np.array_split(np.arange(len(ids)), 1 + len(ids) * classes // AT_ONCE)
    p_y = np.concatenate(
        [
            mean_probabilities(histories, ids[part], classes)[np.arange(len(part)), labels[part]]
            for part in parts
        ]
    )
    known = ~np.isnan(p_y)
    limits = thresholds(p_y[known], labels[known], classes)
    counts = np.zeros((classes, classes), np.int64)
    for part in (part[known[part]] for part in parts):
        p = mean_probabilities(histories, ids[part], classes)
        counts += confident_joint(p, labels[part], limits)
    return LabelErrors.of(counts, labels[known])
