"""Cosine decay (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983), eq. 5 once."""

import math

from trainer.check import within
from trainer.length import Clock, parse
from trainer.schedule.base import Schedule


class CosineDecay(Schedule):
    """lr · [(1 − α) · ½(1 + cos πt/S) + α], held after S = `decay_steps`. α is a share of lr."""

    def __init__(self, *, decay_steps: str = "1run", alpha: float = 0.0) -> None:
        parse(decay_steps, "schedule.decay_steps")
        within("schedule.alpha", alpha, "[0, 1]")
        self.decay_steps = decay_steps
        self.alpha = alpha

    def bind(self, clock: Clock) -> None:
        """S in steps."""
        self.length = clock.steps(self.decay_steps)

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        done = min(t / self.length, 1.0) if self.length else float(t > 0)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return base * ((1 - self.alpha) * cosine + self.alpha)
