"""LR finder: the learning rate range test."""

from trainer.job.find_lr.job import FindLr

__all__ = ["FindLr"]
