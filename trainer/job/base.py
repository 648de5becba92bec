"""The contract of a job."""

from trainer.run.job import Job

__all__ = ["Job"]
