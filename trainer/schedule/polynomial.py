"""Polynomial decay, constant after its end or restarted with ever longer periods."""

import math

from trainer.core.duration import ROUNDING, Clock, Duration, in_units, positive
from trainer.core.ranges import within
from trainer.schedule.base import Decay


class Polynomial(Decay):
    """(lr − end_lr)·(1 − t/S)^p + end_lr, p = `power`, constant after S = `decay_steps`.

    With `cycle`, S becomes S·max(1, ⌈t/S⌉): at each multiple of S the rate reaches `end_lr`, then
    jumps up to the curve of a decay that is longer by S.
    """

    def __init__(
        self,
        *,
        decay_steps: Duration = "1run",
        end_lr: float = 1e-4,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        super().__init__(decay_steps)
        if cycle:
            positive(in_units(decay_steps), "schedule.decay_steps")
        within("schedule.end_lr", end_lr, "[0, inf)")
        within("schedule.power", power, "(0, inf)")
        self.end_lr = end_lr
        self.power = power
        self.cycle = cycle

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if a decay without cycles exceeds the run."""
        if not self.cycle:
            super().check_clock(clock)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        share = self.share(t)
        if self.cycle:
            share /= max(1, math.ceil(share - ROUNDING))  # at t = 0 the ceiling is 0
        return (base - self.end_lr) * (1 - min(share, 1.0)) ** self.power + self.end_lr
