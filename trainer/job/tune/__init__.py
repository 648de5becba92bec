"""Search for the best settings with Optuna."""

from trainer.job.tune.job import Tune

__all__ = ["Tune"]
