"""Distillation: what a teacher adds to the loss."""

from trainer.distill.base import Distiller
from trainer.distill.shared.teacher import Teacher

__all__ = ["Distiller", "Teacher"]
