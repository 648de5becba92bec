"""Decay by a factor each epoch; torch's ExponentialLR."""

from trainer.core.duration import Duration
from trainer.core.ranges import within
from trainer.schedule.base import Counter


class Exponential(Counter):
    """lr · γ^n with n = ⌊t / every⌋."""

    def __init__(self, *, gamma: float = 0.95, every: Duration = "1ep") -> None:
        super().__init__(every)
        within("schedule.gamma", gamma, "(0, inf)")
        self.gamma = gamma

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.gamma ** self.count(t)
