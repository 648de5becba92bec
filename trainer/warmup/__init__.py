"""Warmups: the learning rate before the schedule begins."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.warmup.base import Warmup

if TYPE_CHECKING:
    from trainer.warmup.constant import Constant
    from trainer.warmup.gradual import Gradual
    from trainer.warmup.none import NoWarmup

__getattr__, __dir__ = exports(__name__)
