"""Online hard example mining in two passes (Shrivastava et al. 2016, sec. 4.2).

A read-only forward pass scores the batch (the pool); forward and backward passes then run on the
hardest only. Cheaper than one pass if `keep` is small.

Among boxes this is the paper's own: a detector's second stage scores all regions on the features
that it shares with the first, and goes forward and backward on the hardest regions of each image.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import TARGETS, Batch, Elements, only
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import (
    Miner,
    Per,
    counted,
    example_ranks,
    hardest,
    in_each_image,
    keep_count,
    sums,
)


@dataclass(kw_only=True)
class OhemTwoPass(Miner):
    """Trains on the hardest `keep` of each batch; `batch_size` is the pool that is scored.

    Of boxes it keeps the hardest elements, of each image or of the batch (`per`).
    """

    targets = TARGETS
    keep: float = 0.25
    per: Per = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The hardest rows, in the batch's order; of elements, those dropped lose their weight."""
        if isinstance(batch, Elements):
            ranks = rank(batch)
            eligible, alone = counted(ranks, batch), in_each_image(self.per, ranks)
            number = (
                (self.keep * sums(eligible, by_image=alone).double() + 0.5).floor().clamp(min=1)
            )
            return only(batch, hardest(ranks, eligible, number, by_image=alone))
        return batch.select(self.rows(rank(batch)))

    def rows(self, losses: Tensor) -> Tensor:
        """Positions [b], ascending, of the highest losses [B], or [B, H, W] of masks."""
        order = example_ranks(losses).argsort(descending=True, stable=True)
        return order[: keep_count(len(order), self.keep)].sort().values
