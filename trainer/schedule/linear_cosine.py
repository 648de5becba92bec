"""Linear cosine decay (Bello et al. 2017, https://arxiv.org/abs/1709.07417)."""

import math

from trainer.core.duration import Duration
from trainer.core.ranges import within
from trainer.schedule.base import Decay


class LinearCosine(Decay):
    """lr · [(α + (S − t)/S) · ½(1 + cos 2πnt/S) + β], n = `num_periods`, constant after S."""

    def __init__(
        self,
        *,
        decay_steps: Duration = "1run",
        num_periods: float = 0.5,
        alpha: float = 0.0,
        beta: float = 0.001,
    ) -> None:
        super().__init__(decay_steps)
        within("schedule.num_periods", num_periods, "[0, inf)")
        within("schedule.alpha", alpha, "[0, inf)")
        within("schedule.beta", beta, "[0, inf)")
        self.num_periods = num_periods
        self.alpha = alpha
        self.beta = beta

    def noise(self, t: float) -> float:
        """The term added to the linear part at step t ≤ S; 0 here."""
        return 0.0

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        share = min(self.share(t), 1.0)
        linear = self.alpha + (1 - share) + self.noise(share * self.duration)
        cosine = 0.5 * (1 + math.cos(2 * math.pi * self.num_periods * share))
        return base * (linear * cosine + self.beta)
