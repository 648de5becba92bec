"""No warmup."""

from trainer.warmup.base import Warmup


class NoWarmup(Warmup):
    """Starts the schedule at step 0."""

    def lr(self, t: float, target: float) -> float:
        """The schedule's first rate, at every step t."""
        return target
