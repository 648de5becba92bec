"""Online hard example mining in two passes (Shrivastava et al. 2016, sec. 4.2).

A read-only forward pass scores the pool, the batch; forward and backward then run on the hardest
alone. Cheaper than one pass when `keep` is small.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.batch import Batch
from trainer.check import within
from trainer.mining.base import Miner, kept, of_examples
from trainer.seed import Moment


@dataclass(kw_only=True)
class OhemTwoPass(Miner):
    """Trains on the hardest `keep` of each batch; `batch_size` is the pool that is scored."""

    keep: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], moment: Moment) -> Batch:
        """The hardest rows, in their order."""
        order = of_examples(rank(batch)).argsort(descending=True, stable=True)
        return batch.rows(order[: kept(len(batch), self.keep)].sort().values)
