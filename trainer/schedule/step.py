"""Decay by a factor at regular intervals; torch's StepLR."""

from trainer.core.duration import Clock, Duration, from_clock, in_units, parse, ratio, whole
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Step(Schedule):
    """lr · γ^⌊t / step_size⌋."""

    duration: float = from_clock()  # `step_size` in steps

    def __init__(self, *, step_size: Duration = "10ep", gamma: float = 0.1) -> None:
        self.step_size = in_units(step_size)
        value, _ = parse(self.step_size, "schedule.step_size")
        within("schedule.step_size", value, "(0, inf)")
        within("schedule.gamma", gamma, "(0, inf)")
        self.gamma = gamma

    def bind(self, clock: Clock) -> None:
        """Convert the interval to steps."""
        self.duration = clock.steps(self.step_size)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.gamma ** whole(ratio(t, self.duration))
