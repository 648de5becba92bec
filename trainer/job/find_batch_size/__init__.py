"""Batch-size finder: the largest batch that fits, and speed by size."""

from trainer.job.find_batch_size.job import FindBatchSize

__all__ = ["FindBatchSize"]
