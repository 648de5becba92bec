"""Cosine annealing (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983), eq. 5."""

import math

from trainer.core.duration import Clock, Duration, from_clock, in_units, positive, ratio
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Cosine(Schedule):
    """η_min + (lr − η_min) · ½(1 + cos πt/T_max) at each step; torch's CosineAnnealingLR.

    Constant after T_max, whereas torch's rises again.
    """

    duration: float = from_clock()  # T_max in steps

    def __init__(self, *, T_max: Duration = "1run", eta_min: float = 0.0) -> None:  # noqa: N803
        self.period = in_units(T_max)
        positive(self.period, "schedule.T_max")
        within("schedule.eta_min", eta_min, "[0, inf)")
        self.eta_min = eta_min

    def bind(self, clock: Clock) -> None:
        """Convert T_max to steps."""
        self.duration = clock.steps(self.period)

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if T_max exceeds the run."""
        clock.require(f"schedule.T_max={self.period}", self.duration)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(ratio(t, self.duration), 1.0)))
        return self.eta_min + (base - self.eta_min) * cosine
