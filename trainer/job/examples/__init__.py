"""The hardest examples, suspected label errors and copies in the data of finished runs."""

from trainer.job.examples.job import Examples

__all__ = ["Examples"]
