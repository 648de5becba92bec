"""The expanded bootstrap percentile interval (Hesterberg 2015, https://arxiv.org/abs/1411.5279).

With few values the plain percentile interval is too narrow: it lacks the factor √(n/(n−1)) and uses
the normal instead of the t distribution. The expanded percentiles are Φ(∓√(n/(n−1)) t_{n−1}). With
three seeds they span all resamples, from the lowest value to the highest.

The p value inverts this: where a share Φ(−z) of the resampled means is beyond 0, it is that of t =
z √((n−1)/n) with n − 1 degrees of freedom. The share is at least one resample, and at least n^−n,
the chance to draw the same value n times: fewer than five seeds cannot reach p < 0.05.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from trainer.compare.base import Bounds, Interval
from trainer.compare.shared.student_t import quantile, two_sided
from trainer.core.ranges import within

MOST = 1000  # values


class Bootstrap(Interval):
    """Bootstrap percentiles; they assume no distribution, but need about ten seeds."""

    about: ClassVar = "bootstrap interval, expanded percentiles"
    test: ClassVar = "the same bootstrap, two-sided"
    unpaired: ClassVar = "unpaired"

    def __init__(self, *, level: float = 0.95, resamples: int = 10_000) -> None:
        super().__init__(level=level)
        within("compare.resamples", resamples, "[100, 1e6]")
        self.resamples = resamples
        self.fewest = next((n for n in range(2, MOST) if self.p(0.0, n) < 1 - level), MOST)

    def mean(self, values: Sequence[float]) -> Bounds:
        """The expanded percentiles of the resampled means."""
        return self.percentiles(self.means(values, 0), len(values))

    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The expanded percentiles of the difference of means, the samples drawn independently."""
        means = self.means(values, 0) - self.means(baseline, 1)
        return self.percentiles(means, min(len(values), len(baseline)))

    def p_mean(self, values: Sequence[float]) -> float:
        """The p value of the resampled means."""
        return self.p(beyond(self.means(values, 0)), len(values))

    def p_difference(self, values: Sequence[float], baseline: Sequence[float]) -> float:
        """The p value of the difference of means, the samples drawn independently."""
        means = self.means(values, 0) - self.means(baseline, 1)
        return self.p(beyond(means), min(len(values), len(baseline)))

    def p(self, share: float, n: int) -> float:
        """The p value of n values of whose resampled means this share is beyond 0."""
        share = max(share, 1 / self.resamples, float(n) ** -n)
        z = max(0.0, -NormalDist().inv_cdf(min(share, 0.5)))
        return two_sided(z * math.sqrt((n - 1) / n), n - 1)

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


def beyond(means: np.ndarray) -> float:
    """The share of resampled means on the side of 0 that has fewer; those at 0 count half."""
    above, at = float((means > 0).mean()), float((means == 0).mean())
    return min(above, 1 - above - at) + at / 2
