"""What a schedule does."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.core.duration import Clock, parse, positive, ratio, whole


class Schedule(ABC):
    """The learning rate at each step t, counted in steps of a full epoch after the warmup.

    It is that of a group whose own rate is `optimizer.lr`; other groups keep their ratio to it.
    """

    needs_val = False  # whether it reads validation metrics

    def prepare(self) -> None:
        """Import what the settings name; a run that is only read back does without it."""

    def bind(self, clock: Clock) -> None:
        """Turn lengths into steps; again when a warmup ends whose length was not known."""

    def check(self, clock: Clock) -> None:
        """Raise ValueError for a length that the run has no room for. Once, after `bind`."""

    @abstractmethod
    def lr(self, t: float, base: float) -> float:
        """The rate at step t of a run whose optimizer has the rate `base`."""

    def momentum(self, t: float) -> float | None:
        """The momentum, or β₁, at step t; None: the optimizer's own."""
        return None

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Take the metrics of an epoch that ended at step t, named `val/loss` and so on."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


class Decay(Schedule):
    """A schedule that comes to its end after S = `decay_steps`, a length."""

    def __init__(self, decay_steps: str) -> None:
        parse(decay_steps, "schedule.decay_steps")
        self.decay_steps = decay_steps

    def bind(self, clock: Clock) -> None:
        """S in steps."""
        self.length = clock.steps(self.decay_steps)

    def check(self, clock: Clock) -> None:
        """S must not be longer than the run."""
        clock.require(f"schedule.decay_steps={self.decay_steps}", self.length)

    def share(self, t: float) -> float:
        """t/S."""
        return ratio(t, self.length)


class TimeConstant(Decay):
    """A schedule without an end, whose exponent is t/S or, with `staircase`, ⌊t/S⌋."""

    def __init__(self, decay_steps: str, *, staircase: bool) -> None:
        positive(decay_steps, "schedule.decay_steps")
        super().__init__(decay_steps)
        self.staircase = staircase

    def check(self, clock: Clock) -> None:
        """S may be longer than the run."""

    def exponent(self, t: float) -> float:
        """t/S or ⌊t/S⌋."""
        share = self.share(t)
        return whole(share) if self.staircase else share


class Counter(Schedule):
    """A schedule that changes once in so long, n = ⌊t / every⌋: where torch counts epochs."""

    def __init__(self, every: str) -> None:
        positive(every, "schedule.every")
        self.every = every

    def bind(self, clock: Clock) -> None:
        """The unit of the counter in steps."""
        self.length = clock.steps(self.every)

    def count(self, t: float) -> int:
        """The counter at step t."""
        return whole(ratio(t, self.length))
