"""Online hard example mining in two passes (Shrivastava et al. 2016, sec. 4.2).

A read-only forward pass scores the batch (the pool); forward and backward passes then run on the
hardest only. Cheaper than one pass if `keep` is small.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, example_ranks, keep_count


@dataclass(kw_only=True)
class OhemTwoPass(Miner):
    """Trains on the hardest `keep` of each batch; `batch_size` is the pool that is scored."""

    keep: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The hardest rows, in the batch's order."""
        return batch.select(self.rows(rank(batch)))

    def rows(self, losses: Tensor) -> Tensor:
        """Positions [b], ascending, of the highest losses [B], or [B, H, W] of masks."""
        order = example_ranks(losses).argsort(descending=True, stable=True)
        return order[: keep_count(len(order), self.keep)].sort().values
