"""Cosine annealing with warm restarts (Loshchilov and Hutter 2017), eq. 5.

https://arxiv.org/abs/1608.03983
"""

import math

from trainer.core.duration import (
    ROUNDING,
    Clock,
    Duration,
    from_clock,
    in_units,
    positive,
    ratio,
    whole,
)
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class CosineRestarts(Schedule):
    """η_min + (lr − η_min) · ½(1 + cos π·T_cur/T_i); torch's CosineAnnealingWarmRestarts.

    The first period is T_0, and each period is T_mult times as long as the one before. T_cur is
    the time since the current period, T_i long, began.
    """

    duration: float = from_clock()  # T_0 in steps

    def __init__(
        self,
        *,
        T_0: Duration = "10ep",  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
    ) -> None:
        self.period = in_units(T_0)
        positive(self.period, "schedule.T_0")
        within("schedule.T_mult", T_mult, "[1, inf)")
        within("schedule.eta_min", eta_min, "[0, inf)")
        self.factor = T_mult
        self.eta_min = eta_min

    def bind(self, clock: Clock) -> None:
        """Convert T_0 to steps."""
        self.duration = clock.steps(self.period)

    def share(self, t: float) -> float:
        """T_cur/T_i at step t, in [0, 1)."""
        periods = ratio(t, self.duration)
        if self.factor == 1:
            return max(periods - whole(periods), 0.0)
        current = 1  # T_i in units of T_0
        while periods >= current * (1 - ROUNDING):
            periods -= current
            current *= self.factor
        return max(periods / current, 0.0)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.share(t)))
        return self.eta_min + (base - self.eta_min) * cosine
