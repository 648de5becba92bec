"""The plans of a run: sampler and miner, by epoch."""

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
    """Makes the plan of each epoch: a function of (seed, epoch, what the miner has fixed)."""

    split: Split
    sampler: Sampler
    miner: Miner
    seed: int
    batch_size: int
    epochs: int
    warn: Callable[[str], None]

    def epoch(self, number: int) -> Epoch:
        """What the miner may know of an epoch."""
        return Epoch(
            number=number,
            total=self.epochs,
            batch_size=self.batch_size,
            seed=self.seed,
            ids=self.sampler.ids(self.split),
            labels=self.split.labels,
        )

    def refresh(self, number: int, scan: Callable[[Tensor], Tensor]) -> None:
        """Let the miner fix what the epoch is decided by."""
        if number >= self.miner.warmup_epochs:
            self.miner.refresh(self.epoch(number), scan)

    def plan(self, number: int) -> Plan:
        """The plan of an epoch; all of the epoch where the miner leaves nothing."""
        rng = generator(self.seed, Purpose.PLAN, number)
        ids, shares = self.sampler.rows(self.split, rng)
        whole = Plan.of(ids, self.batch_size, shares)
        if number < self.miner.warmup_epochs:
            return whole
        plan = self.miner.sampler(whole, self.epoch(number))
        if len(plan):
            return plan
        self.warn(f"mining left nothing of epoch {number}: it trains on all examples")
        return whole
