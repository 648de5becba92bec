"""The contract of a schedule, and base classes that several schedules share."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.core.duration import (
    Clock,
    Duration,
    from_clock,
    in_units,
    parse,
    positive,
    ratio,
    whole,
)


class Schedule(ABC):
    """The learning rate as a function of the step t, which starts at 0 after the warmup.

    Steps are counted in full epochs. The rate is that of a parameter group with the rate
    `optimizer.lr`; other groups keep their ratio to it. Before `bind`, durations in steps work and
    any other raises RuntimeError.
    """

    needs_val = False  # True if it reads validation metrics
    monitor: str | None = None  # the metric it reads

    def __call__(self, t: float, base: float) -> float:
        """The learning rate at step t; `base` is the optimizer's own."""
        return self.lr(t, base)

    def prepare(self) -> None:
        """Import the functions that settings name. Not called for runs that only report."""

    def bind(self, clock: Clock) -> None:
        """Convert durations to steps. Called again when a warmup of unknown duration ends."""

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError for a duration that exceeds the run. Called once, after `bind`."""

    @abstractmethod
    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t; `base` is the optimizer's own."""

    def momentum(self, t: float) -> float | None:
        """The momentum, or β₁, at step t; None keeps the optimizer's."""
        return None

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Receive the metrics of the epoch that ended at step t, by name such as `val/loss`."""

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: numbers, strings and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class Decay(Schedule):
    """A schedule that ends after S = `decay_steps`, a duration."""

    duration: float = from_clock()  # S in steps

    def __init__(self, decay_steps: Duration) -> None:
        self.decay_steps = in_units(decay_steps)
        parse(self.decay_steps, "schedule.decay_steps")

    def bind(self, clock: Clock) -> None:
        """Convert S to steps."""
        self.duration = clock.steps(self.decay_steps)

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if S exceeds the run."""
        clock.require(f"schedule.decay_steps={self.decay_steps}", self.duration)

    def share(self, t: float) -> float:
        """The fraction t/S of the decay that has passed."""
        return ratio(t, self.duration)


class TimeConstant(Decay):
    """An endless schedule with the exponent t/S or, with `staircase`, ⌊t/S⌋."""

    def __init__(self, decay_steps: Duration, *, staircase: bool) -> None:
        positive(in_units(decay_steps), "schedule.decay_steps")
        super().__init__(decay_steps)
        self.staircase = staircase

    def check_clock(self, clock: Clock) -> None:
        """Accept any S: the decay has no end to reach."""

    def exponent(self, t: float) -> float:
        """The exponent at step t: t/S, or ⌊t/S⌋ with `staircase`."""
        share = self.share(t)
        return whole(share) if self.staircase else share


class Counter(Schedule):
    """A schedule of n = ⌊t / every⌋, the counterpart of torch's epoch counter."""

    duration: float = from_clock()  # `every` in steps

    def __init__(self, every: Duration) -> None:
        self.every = in_units(every)
        positive(self.every, "schedule.every")

    def bind(self, clock: Clock) -> None:
        """Convert `every` to steps."""
        self.duration = clock.steps(self.every)

    def count(self, t: float) -> int:
        """The counter n = ⌊t / every⌋ at step t."""
        return whole(ratio(t, self.duration))
