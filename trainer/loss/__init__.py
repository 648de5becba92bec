"""Losses: one value per element, never reduced."""

from trainer.core.batch import contract, spread
from trainer.loss.base import Loss

__all__ = ["Loss", "contract", "spread"]
