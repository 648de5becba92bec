"""Plans each epoch: the sampler draws rows, the miner selects or adds some."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.seed import Purpose, generator
from trainer.dataset import Split
from trainer.mining import Epoch, Miner
from trainer.sampler import Sampler


@dataclass(frozen=True)
class Planner:
    """Makes the plan of each epoch, determined by seed, epoch and the miner's state."""

    split: Split
    sampler: Sampler
    miner: Miner
    seed: int
    batch_size: int
    epochs: int
    warn: Callable[[str], None]

    def epoch(self, number: int) -> Epoch:
        """Describe an epoch to the miner."""
        return Epoch(
            number=number,
            total=self.epochs,
            batch_size=self.batch_size,
            seed=self.seed,
            ids=self.sampler.ids(self.split),
            labels=self.split.labels,
        )

    def refresh(self, number: int, scan: Callable[[Tensor], Tensor]) -> None:
        """Let the miner decide on the epoch's examples; `scan` ranks example ids [n] → [n]."""
        if number >= self.miner.warmup_epochs:
            self.miner.refresh(self.epoch(number), scan)

    def whole(self, number: int) -> Plan:
        """Return the sampler's plan of an epoch, from which the miner is yet to select."""
        rng = generator(self.seed, Purpose.PLAN, number)
        ids, shares = self.sampler.rows(self.split, rng)
        return Plan.of(ids, self.batch_size, shares)

    def plan(self, number: int) -> Plan:
        """Return the plan of an epoch; if the miner selects nothing, warn and train on all rows."""
        whole = self.whole(number)
        if number < self.miner.warmup_epochs:
            return whole
        plan = self.miner.sampler(whole, self.epoch(number))
        if len(plan):
            return plan
        self.warn(f"mining selected no examples in epoch {number}; training on all of them")
        return whole
