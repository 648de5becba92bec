"""Cosine decay (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983), eq. 5."""

import math

from trainer.core.duration import Duration
from trainer.core.ranges import within
from trainer.schedule.base import Decay


class CosineDecay(Decay):
    """lr · [(1 − α) · ½(1 + cos πt/S) + α], constant after S = `decay_steps`."""

    def __init__(self, *, decay_steps: Duration = "1run", alpha: float = 0.0) -> None:
        super().__init__(decay_steps)
        within("schedule.alpha", alpha, "[0, 1]")
        self.alpha = alpha

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(self.share(t), 1.0)))
        return base * ((1 - self.alpha) * cosine + self.alpha)
