"""Exponential decay by a factor over a duration."""

from trainer.core.duration import Duration
from trainer.core.ranges import within
from trainer.schedule.base import TimeConstant


class ExponentialDecay(TimeConstant):
    """lr · r^(t/S), S = `decay_steps`, r = `decay_rate`; with `staircase` lr · r^⌊t/S⌋."""

    def __init__(
        self, *, decay_steps: Duration = "1run", decay_rate: float = 0.1, staircase: bool = False
    ) -> None:
        super().__init__(decay_steps, staircase=staircase)
        within("schedule.decay_rate", decay_rate, "(0, inf)")
        self.decay_rate = decay_rate

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.decay_rate ** self.exponent(t)
