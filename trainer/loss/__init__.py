"""Losses: one value per element, never reduced."""

from trainer.loss.base import Loss, contract

__all__ = ["Loss", "contract"]
