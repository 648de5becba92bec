"""What a run would see, before it runs."""

from trainer.job.preview.job import Preview

__all__ = ["Preview"]
