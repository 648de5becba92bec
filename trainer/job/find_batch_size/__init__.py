"""The largest batch that fits, and throughput by size."""

from trainer.job.find_batch_size.job import FindBatchSize

__all__ = ["FindBatchSize"]
