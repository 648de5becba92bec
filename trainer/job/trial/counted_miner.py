"""A miner that counts the calls of its hooks."""

from __future__ import annotations

from collections import Counter
from copy import copy
from typing import TYPE_CHECKING, Any

from trainer.mining import Epoch, Miner

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trainer.core.batch import Batch
    from trainer.core.plan import Plan
    from trainer.core.seed import StepId


class CountedMiner(Miner):
    """Passes every call to the run's miner and counts those of its hooks in `calls`.

    It is a copy, active from the first epoch.
    """

    def __init__(self, wrapped: Miner) -> None:
        super().__init__(score=wrapped.score, rank_by=wrapped.rank_by)
        self.wrapped = copy(wrapped)
        self.wrapped.warmup_epochs = 0
        self.pooled, self.per_pixel = wrapped.pooled, wrapped.per_pixel
        self.delays = wrapped.delays
        self.calls: Counter[str] = Counter()

    @property
    def observes(self) -> bool:
        """Whether the run's miner uses `observe`."""
        return self.wrapped.observes

    def prepare(self, labels: Tensor) -> None:
        """Pass the labels of all examples, and the number of words, to the run's miner."""
        self.wrapped.words = self.words
        self.wrapped.prepare(labels)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Count and pass on the start of an epoch."""
        self.calls["refresh"] += 1
        self.wrapped.refresh(epoch, scan)

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """Count the call; return the run's miner's plan of the epoch."""
        self.calls["sampler"] += 1
        return self.wrapped.sampler(plan, epoch)

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """Count the call; return the rows that the run's miner selects."""
        self.calls["select"] += 1
        return self.wrapped.select(batch, rank, step_id)

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Count the call; return the batch with the run's miner's weights and counts."""
        self.calls["weigh"] += 1
        return self.wrapped.weigh(ranks, batch, step_id)

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Count and pass on the ranks of a batch."""
        self.calls["observe"] += 1
        self.wrapped.observe(batch, ranks)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the run's miner."""
        return self.wrapped.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the run's miner."""
        self.wrapped.load_state_dict(state)
