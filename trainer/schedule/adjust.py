"""Any function of the step and the epoch."""

from trainer.core.duration import Clock, ratio, whole
from trainer.schedule.base import Schedule
from trainer.schedule.shared.function import Function


class Adjust(Schedule):
    """lr · f(⌊t⌋, epoch), both from 0: the factor of an epoch is in force from its first step on.

    Each parameter group keeps its ratio to lr.
    """

    def __init__(self, *, function: str) -> None:
        self.function = Function(function)

    def prepare(self) -> None:
        """Find f and call it once."""
        self.function(0, 0)

    def bind(self, clock: Clock) -> None:
        """An epoch in steps."""
        self.epoch = clock.steps_per_epoch

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        return base * self.function(whole(t), whole(ratio(t, self.epoch)))


def tenth(_step: int, epoch: int) -> float:
    """The factor of `adjust`: a tenth every 30 epochs, as for ImageNet."""
    return 0.1 ** (epoch // 30)
