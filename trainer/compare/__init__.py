"""Comparison of runs; the group `compare` is how far a mean of runs may be off."""

from trainer.compare.base import Interval

__all__ = ["Interval"]
