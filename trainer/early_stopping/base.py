"""The contract of early stopping: a decision after each epoch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from trainer.core.metric import Mode


class EarlyStopping(ABC):
    """Decides after each epoch, from its metrics, whether the run stops."""

    needs_val = True  # True if it reads validation metrics
    monitor: str | None = None  # the metric it reads
    best_by: tuple[str, Mode] | None = None  # selects the best weights; None: checkpoint.monitor

    @abstractmethod
    def update(self, metrics: dict[str, float]) -> bool:
        """Receive the metrics of an epoch, by name such as `val/loss`; return True to stop."""

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: numbers, strings and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


# The run's own early stopping and a function that returns its epochs → the one used instead.
WrapStopping = Callable[[EarlyStopping, Callable[[], int]], EarlyStopping]
