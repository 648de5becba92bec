"""InfoBatch (Qin et al. 2024, https://arxiv.org/abs/2303.04947), sec. 3.

Examples under the mean loss are dropped at random, those of them that stay count for the dropped:
the expected gradient of an epoch is that of the whole data.
"""

from dataclasses import dataclass

import torch

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant


@dataclass(kw_only=True)
class InfoBatch(RunningScoreMiner):
    """Drops rows whose last loss is under the mean with probability `prune`, r.

    Those under the mean that stay get weight 1 / (1 − r) and count 1, so that the updates keep
    their size. The mean is over the examples seen so far; what was not seen is kept. The last
    `delta` of the epochs train on all, which takes away what the pruning has biased.
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
        easy = self.frozen[dominant(plan)] < mean  # false where either is NaN
        drawn = torch.from_numpy(epoch.generator().random(len(plan))) < self.prune
        weighted = plan.weighted(torch.where(easy, 1 / (1 - self.prune), 1.0))
        return weighted.rows((~(easy & drawn)).nonzero()[:, 0], epoch.batch_size)
