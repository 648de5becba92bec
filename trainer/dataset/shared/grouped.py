"""Splits in which groups stay whole: the images of a patient, a camera or a video."""

from collections.abc import Sequence

import numpy as np

from trainer.core.errors import DataError


def assign_groups(
    groups: np.ndarray, strata: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """The part [n] of each example: whole groups, with about `shares` of each stratum in a part.

    The groups, the largest first, go each to the part that lacks most of what it has, as in
    scikit-learn's StratifiedGroupKFold. No part remains empty. `groups` and `strata` are [n].
    Raises DataError for fewer groups than parts.
    """
    _, group = np.unique(groups, return_inverse=True)
    number = int(group.max()) + 1 if len(group) else 0
    if number < len(shares):
        raise DataError(
            f"dataset.group: {number} group{'s' * (number != 1)} cannot be divided into "
            f"{len(shares)} parts"
        )
    have = portions(group, strata, number)
    sizes = np.bincount(group)
    order = rng.permutation(number)
    order = order[np.argsort(-sizes[order], kind="stable")]
    lacking = np.array(shares)[:, None] * have.sum(0)
    part = np.empty(number, np.int64)
    for each in order:
        part[each] = np.argmax(lacking @ have[each])
        lacking[part[each]] -= have[each]
    for empty in set(range(len(shares))) - set(part.tolist()):
        fullest = np.bincount(part, minlength=len(shares)).argmax()
        part[[each for each in order if part[each] == fullest][-1]] = empty
    return part[group]


def portions(group: np.ndarray, strata: np.ndarray, number: int) -> np.ndarray:
    """The portion [G, S + 1] of each stratum, and of all examples, that each group has.

    All examples count as much as the strata together: sizes matter where strata are small.
    """
    _, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((number, int(stratum.max()) + 1))
    np.add.at(counts, (group, stratum), 1)
    each = counts / counts.sum(0) / counts.shape[1]
    return np.concatenate([each, counts.sum(1, keepdims=True) / counts.sum()], 1)
