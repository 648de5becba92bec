"""Early stopping: when a run has learned what it can."""

from trainer.early_stopping.base import EarlyStopping

__all__ = ["EarlyStopping"]
