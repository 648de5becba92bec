"""Linear cosine decay with noise (Bello et al. 2017, https://arxiv.org/abs/1709.07417)."""

import math

from trainer.core.duration import Duration, whole
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.schedule.linear_cosine import LinearCosine


class NoisyLinearCosine(LinearCosine):
    """lr · [(α + (S − t)/S + ε_t) · ½(1 + cos 2πnt/S) + β], at least 0, constant after S.

    ε_t ~ N(0, initial_variance / (1 + t)^variance_decay), drawn by the run's seed and ⌊t⌋.
    """

    def __init__(
        self,
        seed: int,
        *,
        decay_steps: Duration = "1run",
        initial_variance: float = 1.0,
        variance_decay: float = 0.55,
        num_periods: float = 0.5,
        alpha: float = 0.0,
        beta: float = 0.001,
    ) -> None:
        super().__init__(decay_steps=decay_steps, num_periods=num_periods, alpha=alpha, beta=beta)
        within("schedule.initial_variance", initial_variance, "[0, inf)")
        within("schedule.variance_decay", variance_decay, "[0, inf)")
        self.seed = seed
        self.initial_variance = initial_variance
        self.variance_decay = variance_decay

    def noise(self, t: float) -> float:
        """The noise ε_t, a function of the seed and t."""
        deviation = math.sqrt(self.initial_variance / (1 + t) ** self.variance_decay)
        return deviation * generator(self.seed, Purpose.SCHEDULE, whole(t)).standard_normal()

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return max(0.0, super().lr(t, base))
