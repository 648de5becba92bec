"""The group `compare`: confidence intervals for means over seeds and their differences."""

from trainer.compare.base import Interval

__all__ = ["Interval"]
