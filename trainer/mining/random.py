"""A uniformly random part of each batch: the control for any claim about mining."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import TARGETS, Batch, Elements, only
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import (
    Miner,
    Per,
    hardest,
    in_each_image,
    keep_count,
    sums,
)
from trainer.mining.shared.drawn import drawn


@dataclass(kw_only=True)
class Random(Miner):
    """Trains on a random `keep` of each batch: the control for a miner that keeps as many.

    Of boxes it keeps a part of the elements, of each image or of the batch (`per`).
    """

    targets = TARGETS
    keep: float = 0.5
    per: Per = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """A random part of the rows, in the batch's order; elements dropped lose their weight."""
        if isinstance(batch, Elements):
            draws = drawn(batch, step_id)
            alone = in_each_image(self.per, draws)
            number = (self.keep * sums(batch.eligible, by_image=alone).double() + 0.5).floor()
            return only(batch, hardest(draws, batch.eligible, number.clamp(min=1), by_image=alone))
        rows = self.rows(len(batch), step_id.generator(Purpose.SELECT))
        return batch.select(rows.to(batch.index.device, non_blocking=True))

    def rows(self, size: int, rng: np.random.Generator) -> Tensor:
        """Positions [b], ascending, of a random part of a batch of `size`, on the CPU."""
        chosen = rng.permutation(size)[: keep_count(size, self.keep)]
        return torch.from_numpy(chosen).sort().values
