"""Learning-rate schedules: pure functions of the clock."""

from trainer.schedule.base import Schedule

__all__ = ["Schedule"]
