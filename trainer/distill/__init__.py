"""Distillation: what a teacher adds to the loss."""

from trainer.distill.base import Distiller
from trainer.distill.teacher import Teacher, find

__all__ = ["Distiller", "Teacher", "find"]
