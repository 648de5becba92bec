"""A constant learning rate."""

from trainer.schedule.base import Schedule


class Constant(Schedule):
    """The optimizer's learning rate at every step."""

    def lr(self, t: float, base: float) -> float:
        """`base`, at every step t."""
        return base
