"""An arbitrary factor of the step and the epoch."""

from collections.abc import Callable

from trainer.core.duration import Clock, from_clock, ratio, whole
from trainer.schedule.base import Schedule
from trainer.schedule.shared.function import Function


def tenth(_step: int, epoch: int) -> float:
    """A tenth every 30 epochs, the default factor: the ImageNet recipe."""
    return 0.1 ** (epoch // 30)


class Adjust(Schedule):
    """lr · f(⌊t⌋, epoch), both counted from 0; an epoch's factor applies from its first step.

    `function` is f, or its import path. Parameter groups keep their ratios to lr.
    """

    epoch: float = from_clock()  # in steps

    def __init__(self, *, function: str | Callable = tenth) -> None:
        self.function = Function(function)

    def prepare(self) -> None:
        """Import f and call it once. Raises ConfigError if either fails."""
        self.function(0, 0)

    def bind(self, clock: Clock) -> None:
        """Set the number of steps in an epoch."""
        self.epoch = clock.steps_per_epoch

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.function(whole(t), whole(ratio(t, self.epoch)))
