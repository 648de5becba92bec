"""Splits in which groups stay whole: the images of a patient, a camera or a video."""

from collections.abc import Sequence

import numpy as np

from trainer.core.errors import DataError
from trainer.core.text import count


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
            f"dataset.group: {count(number, 'group')} cannot be divided into {len(shares)} parts"
        )
    parts = Parts(shares, strata, group)
    sizes = np.bincount(group)
    order = rng.permutation(number)
    order = order[np.argsort(-sizes[order], kind="stable")]
    part = np.array([parts.add(each) for each in order])[np.argsort(order)]
    for empty in set(range(len(shares))) - set(part.tolist()):
        fullest = np.bincount(part, minlength=len(shares)).argmax()
        part[[each for each in order if part[each] == fullest][-1]] = empty
    return part[group]


class Parts:
    """What each of the K parts lacks of each stratum, and of all examples, as portions of them.

    All examples count as much as the strata together: sizes matter where strata are small.
    """

    def __init__(self, shares: Sequence[float], strata: np.ndarray, group: np.ndarray) -> None:
        _, stratum, totals = np.unique(strata, return_inverse=True, return_counts=True)
        number = len(totals)
        pairs, counts = np.unique(group * number + stratum, return_counts=True)
        owner, self.stratum = np.divmod(pairs, number)  # of each group, its strata alone
        self.ends = np.searchsorted(owner, np.arange(owner[-1] + 2))
        self.portion = counts / totals[self.stratum] / number
        self.size = np.bincount(group) / len(group)
        self.lacking = np.repeat(np.array(shares)[:, None] / number, number, 1)
        self.lacking_size = np.array(shares, float)

    def add(self, group: int) -> int:
        """The part that lacks most of what a group has, which it gets."""
        own = slice(self.ends[group], self.ends[group + 1])
        strata, portion = self.stratum[own], self.portion[own]
        lack = self.lacking[:, strata] @ portion + self.lacking_size * self.size[group]
        part = int(lack.argmax())
        self.lacking[part, strata] -= portion
        self.lacking_size[part] -= self.size[group]
        return part
