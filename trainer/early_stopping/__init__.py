"""Early stopping: when a run has learned what it can."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.early_stopping.base import EarlyStopping

if TYPE_CHECKING:
    from trainer.early_stopping.none import NoEarlyStopping
    from trainer.early_stopping.patience import Patience

__all__ = [
    "EarlyStopping",
    "NoEarlyStopping",
    "Patience",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "NoEarlyStopping": "none",
        "Patience": "patience",
    },
)
