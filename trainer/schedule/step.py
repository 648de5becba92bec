"""Decay by a factor at regular intervals; torch's StepLR."""

from trainer.core.duration import Clock, parse, ratio, whole
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Step(Schedule):
    """lr · γ^⌊t / step_size⌋."""

    def __init__(self, *, step_size: str = "10ep", gamma: float = 0.1) -> None:
        value, _ = parse(step_size, "schedule.step_size")
        within("schedule.step_size", value, "(0, inf)")
        within("schedule.gamma", gamma, "(0, inf)")
        self.step_size = step_size
        self.gamma = gamma

    def bind(self, clock: Clock) -> None:
        """The interval in steps."""
        self.length = clock.steps(self.step_size)

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        return base * self.gamma ** whole(ratio(t, self.length))
