"""The expanded bootstrap percentile interval (Hesterberg 2015, https://arxiv.org/abs/1411.5279).

With few values the plain percentile interval is too narrow: it lacks the factor √(n/(n−1)) and uses
the normal instead of the t distribution. The expanded percentiles are Φ(∓√(n/(n−1)) t_{n−1}). With
three seeds they span all resamples, from the lowest value to the highest.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from trainer.compare.base import Bounds, Interval
from trainer.compare.shared.student_t import quantile
from trainer.core.ranges import within


class Bootstrap(Interval):
    """Bootstrap percentiles; they assume no distribution, but need about ten seeds."""

    about: ClassVar = "bootstrap interval, expanded percentiles"

    def __init__(self, *, level: float = 0.95, resamples: int = 10_000) -> None:
        super().__init__(level=level)
        within("compare.resamples", resamples, "[100, 1e6]")
        self.resamples = resamples

    def mean(self, values: Sequence[float]) -> Bounds:
        """The expanded percentiles of the resampled means."""
        return self.percentiles(self.means(values, 0), len(values))

    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The expanded percentiles of the difference of means, the samples drawn independently."""
        means = self.means(values, 0) - self.means(baseline, 1)
        return self.percentiles(means, min(len(values), len(baseline)))

    def means(self, values: Sequence[float], stream: int) -> np.ndarray:
        """The means [resamples] of bootstrap samples drawn with the seed `stream`."""
        rng = np.random.default_rng(stream)
        drawn = rng.integers(len(values), size=(self.resamples, len(values)))
        return np.asarray(values)[drawn].mean(1)

    def percentiles(self, means: np.ndarray, n: int) -> Bounds:
        """The expanded percentiles of the resampled means [resamples] of n values."""
        reach = math.sqrt(n / (n - 1)) * quantile((1 + self.level) / 2, n - 1)
        tail = NormalDist().cdf(-reach)
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)
