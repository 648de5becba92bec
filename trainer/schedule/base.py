"""What a schedule does."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.length import Clock


class Schedule(ABC):
    """The learning rate at each step t, counted in steps of a full epoch after the warmup."""

    needs_val = False  # whether it reads validation metrics

    def bind(self, clock: Clock) -> None:
        """Turn lengths into steps."""

    @abstractmethod
    def lr(self, t: float, base: float) -> float:
        """The rate at step t of a run whose optimizer has the rate `base`."""

    def observe(self, metrics: dict[str, float]) -> None:
        """Take the metrics of an epoch, named `val/loss` and so on."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
