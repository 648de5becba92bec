"""The contract of a warmup: the learning rate of the first steps."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.core.duration import Clock


class Warmup(ABC):
    """The learning rate of the first `duration` steps; the schedule follows."""

    duration: float = 0.0  # steps; infinite until it is known

    def __call__(self, t: float, target: float) -> float:
        """The learning rate at step t; after the warmup `target`, the schedule's first rate."""
        return self.lr(t, target) if t < self.duration else target

    def bind(self, clock: Clock) -> None:
        """Convert durations to steps."""

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError for a warmup as long as the run. Called once, after `bind`."""

    @abstractmethod
    def lr(self, t: float, target: float) -> float:
        """The learning rate at step t < duration; `target` is the schedule's first rate."""

    def observes_after(self, step: int) -> bool:
        """True if `observe` is to receive the epoch's training metrics so far after a step."""
        return False

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Receive metrics at step t, by name such as `train/accuracy`."""

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: numbers, strings and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
