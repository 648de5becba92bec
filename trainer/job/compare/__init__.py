"""Runs folded into one table: groups, intervals, tests, budgets."""

from trainer.job.compare.job import Compare

__all__ = ["Compare"]
