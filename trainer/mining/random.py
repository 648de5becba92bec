"""A uniform random part of each batch: the control that every claim about mining needs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import Miner, kept


@dataclass(kw_only=True)
class Random(Miner):
    """Trains on `keep` of each batch, drawn without looking: as many as the rival trains on."""

    keep: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """A random part of the rows, in their order."""
        number = kept(len(batch), self.keep)
        chosen = step_id.generator(Purpose.SELECT).permutation(len(batch))[:number]
        return batch.rows(torch.from_numpy(chosen).sort().values.to(batch.index.device))
