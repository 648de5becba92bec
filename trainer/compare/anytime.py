"""Intervals and p values that stay right where seeds are added until the answer is clear.

A t interval covers the truth at one number of seeds that was fixed before. These cover it at all
numbers of seeds at once, and are wider for that: see `trainer.compare.shared.anytime`. Samples
without common seeds are paired in order: their differences are independent, too.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from trainer.compare.base import Bounds, Interval
from trainer.compare.shared import anytime, two_way
from trainer.compare.shared.student_t import quantile
from trainer.core.ranges import within


class Anytime(Interval):
    """The anytime-valid t interval of Wang and Ramdas (2023), for values in order of seed."""

    about: ClassVar = "anytime-valid t interval"
    test: ClassVar = "anytime-valid t tests"
    unpaired: ClassVar = "unpaired"
    sequential: ClassVar = True

    def __init__(self, *, level: float = 0.95, prior: float = anytime.PRIOR) -> None:
        super().__init__(level=level)
        within("compare.prior", prior, "(0, 100]")
        self.prior = prior
        self.fewest = anytime.fewest_values(1 - level, prior)

    def mean(self, values: Sequence[float]) -> Bounds:
        """The interval at these values; infinite for fewer than four at a level of 0.95."""
        return anytime.bounds(values, 1 - self.level, self.prior)

    def p_mean(self, values: Sequence[float]) -> float:
        """1 / the highest e-value after any of the values."""
        return anytime.p_value(values, self.prior)

    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The interval of the differences of the values in order, as many as both have."""
        return self.mean(in_order(values, baseline))

    def p_difference(self, values: Sequence[float], baseline: Sequence[float]) -> float:
        """The p value of the differences of the values in order, as many as both have."""
        return self.p_mean(in_order(values, baseline))

    def crossed(self, table: np.ndarray) -> Bounds:
        """The half interval over seeds, and that of the examples at this number: √(a² + b²)."""
        found = two_way.MeanSquares.of(table)
        low, high = self.mean(two_way.by_seed(table).tolist())
        t = quantile((1 + self.level) / 2, found.examples - 1)
        half = math.hypot((high - low) / 2, t * math.sqrt(found.beyond_seeds))
        return found.mean - half, found.mean + half

    def needed(self, ratio: float, alpha: float) -> int | None:
        """The fewest values with about 80 % power for a mean of `ratio` standard deviations."""
        return anytime.values_needed(ratio, alpha, self.prior)


def in_order(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The differences of the first values, the second ones and so on."""
    return [ours - theirs for ours, theirs in zip(values, baseline, strict=False)]
