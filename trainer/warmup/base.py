"""What a warmup does."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.length import Clock


class Warmup(ABC):
    """The learning rate of the first `length` steps."""

    length: float = 0.0  # steps

    def bind(self, clock: Clock) -> None:
        """Turn lengths into steps."""

    @abstractmethod
    def lr(self, t: float, target: float) -> float:
        """The rate at step t < length; `target` is where the schedule begins."""

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Take metrics, named `train/accuracy` and so on, at step t."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
