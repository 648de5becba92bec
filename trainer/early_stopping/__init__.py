"""Early stopping: ends a run that no longer improves."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.early_stopping.base import EarlyStopping

if TYPE_CHECKING:
    from trainer.early_stopping.none import NoEarlyStopping
    from trainer.early_stopping.patience import Patience

__getattr__, __dir__ = exports(__name__)
