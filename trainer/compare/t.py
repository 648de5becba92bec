"""Student's t interval, mean ± t_{n−1} s/√n; for two samples Welch's (1947), unequal variances.

For two samples the squared standard error is e = a + b, a = s₁²/n₁, b = s₂²/n₂, with
e² / (a²/(n₁−1) + b²/(n₂−1)) degrees of freedom.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar

from trainer.compare.base import Bounds, Interval
from trainer.compare.shared.deviation import stdev
from trainer.compare.shared.student_t import quantile, two_sided


class StudentT(Interval):
    """The t interval: exact for normal values, and close for others unless they are very skewed."""

    about: ClassVar = "t interval"
    test: ClassVar = "two-sided t tests"
    unpaired: ClassVar = "Welch"

    def mean(self, values: Sequence[float]) -> Bounds:
        """The mean of n values ± t s/√n, with n − 1 degrees of freedom."""
        return self.around(fmean(values), stdev(values) / math.sqrt(len(values)), len(values) - 1)

    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """Welch's interval, which allows for unequal variances."""
        return self.around(fmean(values) - fmean(baseline), *welch(values, baseline))

    def p_mean(self, values: Sequence[float]) -> float:
        """The two-sided p value of t = mean / (s/√n)."""
        n = len(values)
        return two_sided(fmean(values) / stdev(values) * math.sqrt(n), n - 1)

    def p_difference(self, values: Sequence[float], baseline: Sequence[float]) -> float:
        """The two-sided p value of Welch's test."""
        error, df = welch(values, baseline)
        return two_sided((fmean(values) - fmean(baseline)) / error, df)

    def around(self, centre: float, error: float, df: float) -> Bounds:
        """The centre ± t times the standard error `error`, with `df` degrees of freedom."""
        margin = error and quantile((1 + self.level) / 2, df) * error
        return centre - margin, centre + margin


def welch(values: Sequence[float], baseline: Sequence[float]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a difference of means; 0 and ∞ without variance."""
    a, b = (stdev(sample) ** 2 / len(sample) for sample in (values, baseline))
    if a + b == 0:
        return 0.0, math.inf
    df = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (len(baseline) - 1))
    return math.sqrt(a + b), df
