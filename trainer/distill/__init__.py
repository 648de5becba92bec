"""Distillation: what a teacher adds to the loss."""

from trainer.distill.base import Distiller

__all__ = ["Distiller"]
