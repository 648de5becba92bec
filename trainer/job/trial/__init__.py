"""Dry run of the configured training, with a verdict."""

from trainer.job.trial.job import Trial

__all__ = ["Trial"]
