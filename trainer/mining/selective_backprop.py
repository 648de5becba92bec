"""Selective-Backprop (Jiang et al. 2019, https://arxiv.org/abs/1910.00762), sec. 3.2.

All examples go forward; each is trained on with probability CDF(loss)^β, the CDF being that of the
losses seen last.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import Miner, of_examples


@dataclass(kw_only=True)
class SelectiveBackprop(Miner):
    """Keeps an example with the probability that one of the last losses is no higher, to the β.

    The last `history` losses include the batch's own, as in the authors' code: so the highest is
    always kept and no batch is dropped whole. Of losses that change slowly 1 / (β + 1) are kept.
    While no step has been seen all are kept. A masked image is one example: its pixels' mean.
    """

    beta: float = 1.0
    history: int = 1024
    warmup_epochs: int = 1
    window: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [history] or less

    pooled = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.beta", self.beta, "[0, inf)")
        within("mining.history", self.history, "[1, inf)")

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Weight and count 0 for the dropped."""
        if not len(self.window):
            return batch
        drawn = step_id.generator(Purpose.MINE).random(len(batch), dtype=np.float32)
        ranks = of_examples(ranks)
        return only(batch, torch.from_numpy(drawn).to(ranks.device) < self.chance(ranks))

    def chance(self, ranks: Tensor) -> Tensor:
        """CDF(rank)^β of each of the ranks [B]."""
        recent = self.pushed(ranks).sort().values
        below = torch.searchsorted(recent, ranks, right=True)
        return (below / len(recent)) ** self.beta

    def pushed(self, ranks: Tensor) -> Tensor:
        """The window with the ranks [B] at its end."""
        return torch.cat([self.window.to(ranks.device), ranks])[-self.history :]

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Push the losses of a step that was taken, the dropped examples' too."""
        self.window = self.pushed(of_examples(ranks))

    def state_dict(self) -> dict[str, Any]:
        """The window."""
        return {"window": self.window.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.window = state["window"]
