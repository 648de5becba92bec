"""Gradual warmup (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, sec. 2.2)."""

from trainer.core.duration import Clock, Duration, from_clock, in_units, parse, ratio
from trainer.core.ranges import within
from trainer.warmup.base import Warmup


class Gradual(Warmup):
    """Linear from `start_factor` times the target to the target over `steps`, a duration."""

    duration: float = from_clock()

    def __init__(self, *, steps: Duration = "1ep", start_factor: float = 0.1) -> None:
        self.steps = in_units(steps)
        parse(self.steps, "warmup.steps")
        within("warmup.start_factor", start_factor, "[0, 1]")
        self.start_factor = start_factor

    def bind(self, clock: Clock) -> None:
        """Convert the duration to steps."""
        self.duration = clock.steps(self.steps)

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if the warmup is as long as the run."""
        clock.require(f"warmup.steps={self.steps}", self.duration, inside=True)

    def lr(self, t: float, target: float) -> float:
        """The learning rate at step t."""
        return target * (self.start_factor + (1 - self.start_factor) * ratio(t, self.duration))
