"""What a warmup does."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.core.duration import Clock


class Warmup(ABC):
    """The learning rate of the first `length` steps."""

    length: float = 0.0  # steps; infinite as long as it is not known

    def bind(self, clock: Clock) -> None:
        """Turn lengths into steps."""

    def check(self, clock: Clock) -> None:
        """Raise ValueError for a warmup that leaves nothing of the run. Once, after `bind`."""

    @abstractmethod
    def lr(self, t: float, target: float) -> float:
        """The rate at step t < length; `target` is where the schedule begins."""

    def watches(self, step: int) -> bool:
        """Whether it wants the training metrics of the epoch so far, after so many steps."""
        return False

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Take metrics, named `train/accuracy` and so on, at step t."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
