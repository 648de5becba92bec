"""What early stopping does."""

from abc import ABC, abstractmethod
from typing import Any

from trainer.core.metric import Mode


class EarlyStopping(ABC):
    """Reads the metrics of each epoch and says when to stop."""

    needs_val = True  # whether it reads metrics that a run without validation does not have
    best_by: tuple[str, Mode] | None = None  # what the best weights are; None: checkpoint.monitor

    @abstractmethod
    def update(self, metrics: dict[str, float]) -> bool:
        """Take the metrics of an epoch, named `val/loss` and so on; true to stop."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
