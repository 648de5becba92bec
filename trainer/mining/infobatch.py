"""InfoBatch (Qin et al. 2024, https://arxiv.org/abs/2303.04947), sec. 3.

Examples below the mean loss are dropped at random, and those of them that are kept get a higher
weight in return: the expected gradient of an epoch is that of all the data.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant


@dataclass(kw_only=True)
class InfoBatch(RunningScoreMiner):
    """Drops rows whose last loss is below the mean with probability `prune`, r.

    The kept rows below the mean get weight 1 / (1 − r) and count 1, so that updates keep their
    size. The mean is over the examples seen so far; unseen ones are kept. The last `delta` of
    the epochs train on everything, which removes the bias of the pruning.
    """

    prune: float = 0.5
    delta: float = 0.125

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.prune", self.prune, "[0, 1)")
        within("mining.delta", self.delta, "[0, 1]")

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan without the dropped rows."""
        if epoch.number >= epoch.total * (1 - self.delta):
            return plan
        mean = self.frozen[epoch.ids].nanmean()
        weights = self.weights(self.frozen[dominant(plan)], epoch.generator(), mean)
        return plan.weighted(weights).select(weights.nonzero()[:, 0], epoch.batch_size)

    def weights(
        self, losses: Tensor, rng: np.random.Generator, mean: Tensor | None = None
    ) -> Tensor:
        """Weights [R] by the last losses [R], NaN where unseen; dropped examples get 0.

        Losses below `mean`, by default that of the losses given, are easy.
        """
        easy = losses < (losses.nanmean() if mean is None else mean)  # false where either is NaN
        drawn = torch.from_numpy(rng.random(len(losses)))
        drawn = drawn.to(losses.device, non_blocking=True) < self.prune
        weights = torch.where(easy, 1 / (1 - self.prune), 1.0)
        return weights.masked_fill(easy & drawn, 0.0)
