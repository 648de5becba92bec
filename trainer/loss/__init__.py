"""Losses: one value per element, never reduced."""

from trainer.loss.base import Loss, contract, spread

__all__ = ["Loss", "contract", "spread"]
