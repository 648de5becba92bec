"""Self-paced learning: the easy examples first.

Kumar, Packer and Koller 2010 ("Self-paced learning for latent variable models", NeurIPS 23) keep
what has a loss under 1/K and lower K by a factor until all are in. Here the share that is kept
grows in a straight line instead, so that there is no threshold to tune.
"""

from dataclasses import dataclass

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch, kept
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant


@dataclass(kw_only=True)
class SelfPaced(RunningScoreMiner):
    """Trains on the easiest share of the rows, by their last loss.

    The share is `pool` in the first epoch after the warmup and grows by as much each epoch, to 1
    at `until`, a part of the run's epochs. What was not seen counts as hardest. Rows left out keep
    the loss they last had, and come in from the easiest on.
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
        ranks = self.frozen[dominant(plan)]
        easiest = ranks.argsort(stable=True)[: kept(len(plan), self.share(epoch))]  # NaN is last
        return plan.rows(easiest.sort().values, epoch.batch_size)

    def share(self, epoch: Epoch) -> float:
        """What part of the rows an epoch trains on."""
        length = self.until * epoch.total - self.warmup_epochs
        grown = (epoch.number - self.warmup_epochs) / length if length > 0 else 1.0
        return self.pool + (1 - self.pool) * min(1.0, grown)
