"""The bootstrap percentile interval, expanded (Hesterberg 2015, arXiv:1411.5279).

Of few values the plain percentile interval is too narrow: it lacks √(n/(n−1)) and takes the normal
for the t distribution. So the percentiles are Φ(∓√(n/(n−1)) t_{n−1}). Of three seeds that is all
the resamples have, from the lowest value to the highest.
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
    """Makes no assumption on the values; wants ten seeds or more."""

    about: ClassVar = "bootstrap interval, expanded percentiles"

    def __init__(self, *, level: float = 0.95, resamples: int = 10_000) -> None:
        super().__init__(level=level)
        within("compare.resamples", resamples, "[100, 1e6]")
        self.resamples = resamples

    def mean(self, values: Sequence[float]) -> Bounds:
        """Percentiles of the resampled means."""
        return self.percentiles(self.means(values, 0), len(values))

    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """Percentiles of the difference of means, each sample resampled by itself."""
        means = self.means(values, 0) - self.means(baseline, 1)
        return self.percentiles(means, min(len(values), len(baseline)))

    def means(self, values: Sequence[float], stream: int) -> np.ndarray:
        """The means of resamples, the same ones each time."""
        drawn = np.random.default_rng(stream).integers(
            len(values), size=(self.resamples, len(values))
        )
        return np.asarray(values)[drawn].mean(1)

    def percentiles(self, means: np.ndarray, n: int) -> Bounds:
        """The two that bound `level`, as n values want it."""
        reach = math.sqrt(n / (n - 1)) * quantile((1 + self.level) / 2, n - 1)
        tail = NormalDist().cdf(-reach)
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)
