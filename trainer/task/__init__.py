"""Tasks: what outputs mean, and which metrics follow from them."""

from trainer.task.base import Task

__all__ = ["Task"]
