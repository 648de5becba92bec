"""Comparison of runs: groups over seeds, intervals, tests, equal cost, one HTML page."""

from trainer.job.compare.job import Compare

__all__ = ["Compare"]
