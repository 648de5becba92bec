"""Distillation: a teacher's term in the loss."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.distill.base import Distiller
from trainer.distill.shared.teacher import Teacher

if TYPE_CHECKING:
    from trainer.distill.none import NoDistiller
    from trainer.distill.soft_target import SoftTarget

__getattr__, __dir__ = exports(__name__)
