"""Self-paced learning: easy examples first.

Kumar, Packer and Koller 2010 ("Self-paced learning for latent variable models", NeurIPS 23) keep
examples with a loss below 1/K and lower K by a factor until all are included. Here the share of
the examples kept grows linearly instead, so that there is no threshold to tune.
"""

from dataclasses import dataclass

from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch, keep_count
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant


@dataclass(kw_only=True)
class SelfPaced(RunningScoreMiner):
    """Trains on the easiest share of the rows, by their last loss.

    The share is `pool` in the first epoch after the warmup and grows linearly to 1 at `until`, a
    fraction of the run's epochs. Unseen examples count as hardest. Rows left out keep their last
    loss and join in ascending order of it.
    """

    pool: float = 0.5
    until: float = 0.5
    warmup_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.pool", self.pool, "(0, 1]")
        within("mining.until", self.until, "[0, 1]")

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The easiest rows, in the plan's order."""
        easiest = self.rows(self.frozen[dominant(plan)], epoch.number, epoch.total)
        return plan.select(easiest, epoch.batch_size)

    def rows(self, losses: Tensor, epoch: int, epochs: int) -> Tensor:
        """Positions [n], ascending, of the lowest of the losses [R] in an epoch of `epochs`."""
        order = losses.argsort(stable=True)  # unseen examples, NaN, are last
        return order[: keep_count(len(losses), self.share(epoch, epochs))].sort().values

    def share(self, epoch: int, epochs: int) -> float:
        """The share of the rows to train on in an epoch of `epochs`; all during the warmup."""
        if epoch < self.warmup_epochs:
            return 1.0
        growing = self.until * epochs - self.warmup_epochs  # epochs over which the share grows
        progress = (epoch - self.warmup_epochs) / growing if growing > 0 else 1.0
        return self.pool + (1 - self.pool) * min(1.0, progress)
