"""Online hard example mining in two passes (Shrivastava et al. 2016, sec. 4.2).

A read-only forward pass scores the pool, the batch; forward and backward then run on the hardest
alone. Cheaper than one pass when `keep` is small.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, kept, of_examples


@dataclass(kw_only=True)
class OhemTwoPass(Miner):
    """Trains on the hardest `keep` of each batch; `batch_size` is the pool that is scored."""

    keep: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The hardest rows, in their order."""
        order = of_examples(rank(batch)).argsort(descending=True, stable=True)
        return batch.rows(order[: kept(len(batch), self.keep)].sort().values)
