"""Scores by which a part of the training set is kept, from the records of a run.

A higher score is kept first; all but `random` are of [n] examples in the order of `History.ids`,
NaN where an example has no finite record. p_y is the probability of the label (`confidence`).

`el2n`: ‖p − onehot(y)‖₂ at the last epoch read (Paul et al. 2021, Definition 2,
https://arxiv.org/abs/2107.07075; they average ten short runs, this is one).
`forgetting`: forgetting events; those never learned are above all (Toneva et al. 2019, sec. 3,
https://arxiv.org/abs/1812.05159).
`aum`: the negative area under the margin, so that ambiguous and wrong labels are first (Pleiss et
al. 2020; as a score for pruning, Zheng et al. 2023, https://arxiv.org/abs/2210.15809).
`dyn_unc`: the standard deviation of p_y within a window of J epochs, with J − 1 in the denominator,
averaged over all windows (He et al. 2024, sec. 3.2, https://arxiv.org/abs/2306.05175).
`dual`: the same with each deviation multiplied by 1 − mean p_y of its window, over the first epochs
alone, 30 of 200 in the paper (Cho et al. 2025, sec. 3, https://arxiv.org/abs/2502.06905).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from trainer.core.errors import DataError
from trainer.history.analysis import History

By = Literal["el2n", "forgetting", "aum", "dyn_unc", "dual"]


def pruning_scores(
    history: History, by: By, *, epochs: int | None = None, window: int = 10
) -> np.ndarray:
    """Return the scores [n] by the first `epochs` epochs, or all; `window` is J.

    Raises DataError where there are no such records, or fewer epochs than a window has.
    """
    history = first_epochs(history, epochs)
    if by == "el2n":
        scores = history.latest("el2n").astype(np.float64)
    elif by == "forgetting":
        scores = forgetting(history)
    elif by == "aum":
        scores = -history.aum()
    else:
        scores = uncertainty(history, window, by_difficulty=by == "dual")
    return np.where(np.isfinite(scores), scores, np.nan)


def first_epochs(history: History, number: int | None) -> History:
    """Return a history of the first epochs alone. Raises DataError if it has fewer."""
    if number is None:
        return history
    if number > history.epochs:
        raise DataError(f"the difficulty store has {history.epochs} epochs, not {number}")
    return replace(history, fields={name: rows[:number] for name, rows in history.fields.items()})


def forgetting(history: History) -> np.ndarray:
    """Return the forgetting events [n]; as many as epochs, more than possible, if never learned."""
    found = history.forgetting()
    events = np.where(found.learned, found.events, history.epochs).astype(np.float64)
    events[np.isnan(history.latest("correct"))] = np.nan
    return events


def uncertainty(history: History, size: int, *, by_difficulty: bool) -> np.ndarray:
    """Return the mean [n] over the windows of the deviation of p_y, or that times 1 − mean p_y.

    Windows in which an example was not seen in every epoch are left out for it.
    """
    if history.epochs < size:
        raise DataError(f"windows of {size} epochs need as many, there are {history.epochs}")
    total, number = np.zeros(len(history.ids)), np.zeros(len(history.ids))
    for window in windows(history, size):
        deviation = window.std(axis=0, ddof=1)
        if by_difficulty:
            deviation = (1 - window.mean(axis=0)) * deviation
        known = ~np.isnan(deviation)
        total += np.where(known, deviation, 0)
        number += known
    with np.errstate(invalid="ignore"):  # 0 / 0 without a window
        return total / number


def windows(history: History, size: int) -> Iterator[np.ndarray]:
    """Yield p_y [size, n] of each run of `size` epochs."""
    rows: deque[np.ndarray] = deque(maxlen=size)
    for row in history.by_epoch("confidence"):
        rows.append(row.astype(np.float64))
        if len(rows) == size:
            yield np.stack(rows)


def highest(scores: np.ndarray, number: int) -> np.ndarray:
    """Return the positions [number] of the highest scores [n]; of equal ones the earlier."""
    return np.argsort(-scores, kind="stable")[:number]


def covering(scores: np.ndarray, number: int, strata: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions [number] of a random sample that covers the scores [n].

    Coverage-centric selection (Zheng et al. 2023, algorithm 1): the range of the scores is cut into
    strata of equal width, and each has the same budget. What a stratum of few examples leaves of
    its budget goes to the larger ones.
    """
    low, width = scores.min(), np.ptp(scores) or 1.0
    stratum = np.minimum((scores - low) / width * strata, strata - 1).astype(np.int64)
    sizes, chosen = np.bincount(stratum, minlength=strata), []
    for done, at in enumerate(np.argsort(sizes, kind="stable")):
        budget = min(int(sizes[at]), number // (strata - done))
        chosen.append(rng.permutation(np.flatnonzero(stratum == at))[:budget])
        number -= budget
    return np.concatenate(chosen)
