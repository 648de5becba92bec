"""Preview of a run's learning rate and inputs, without training."""

from trainer.job.preview.job import Preview

__all__ = ["Preview"]
