"""The same rate from first to last."""

from trainer.schedule.base import Schedule


class Constant(Schedule):
    """lr."""

    def lr(self, t: float, base: float) -> float:
        """The optimizer's own."""
        return base
