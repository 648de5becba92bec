"""A page on which a person decides about suspected label errors."""

from trainer.job.review.job import Review

__all__ = ["Review"]
