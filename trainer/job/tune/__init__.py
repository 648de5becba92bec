"""Optuna search over overrides."""

from trainer.job.tune.job import Tune

__all__ = ["Tune"]
