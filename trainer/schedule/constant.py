"""A constant learning rate."""

from trainer.schedule.base import Schedule


class Constant(Schedule):
    """lr at every step."""

    def lr(self, t: float, base: float) -> float:
        """`base`, at every step t."""
        return base
