"""The base class of all jobs."""

from trainer.run.job import Job

__all__ = ["Job"]
