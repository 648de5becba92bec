"""A uniformly random part of each batch: the control for any claim about mining."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import Miner, keep_count


@dataclass(kw_only=True)
class Random(Miner):
    """Trains on a random `keep` of each batch: the control for a miner that keeps as many."""

    keep: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """A random part of the rows, in the batch's order."""
        rows = self.rows(len(batch), step_id.generator(Purpose.SELECT))
        return batch.select(rows.to(batch.index.device))

    def rows(self, size: int, rng: np.random.Generator) -> Tensor:
        """Positions [b], ascending, of a random part of a batch of `size`, on the CPU."""
        chosen = rng.permutation(size)[: keep_count(size, self.keep)]
        return torch.from_numpy(chosen).sort().values
