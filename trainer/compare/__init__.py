"""Confidence intervals of means over seeds and of their differences."""

from typing import TYPE_CHECKING

from trainer.compare.base import Interval
from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.compare.anytime import Anytime
    from trainer.compare.bootstrap import Bootstrap
    from trainer.compare.t import StudentT

__getattr__, __dir__ = exports(__name__)
