"""No warmup."""

from trainer.warmup.base import Warmup


class NoWarmup(Warmup):
    """The schedule begins at once."""

    def lr(self, t: float, target: float) -> float:
        """Where the schedule begins."""
        return target
