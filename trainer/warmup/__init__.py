"""Warmups: how the learning rate comes to where the schedule begins."""

from trainer.warmup.base import Warmup

__all__ = ["Warmup"]
