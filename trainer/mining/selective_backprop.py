"""Selective-Backprop (Jiang et al. 2019, https://arxiv.org/abs/1910.00762), sec. 3.2.

All examples go forward; each gets a gradient with probability CDF(loss)^β, the CDF being that of
the most recent losses.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.core.state import match_tensor
from trainer.mining.base import Miner, example_ranks


@dataclass(kw_only=True)
class SelectiveBackprop(Miner):
    """Keeps an example with probability CDF(loss)^β, where the CDF is that of recent losses.

    The last `history` losses include the batch's own, as in the authors' code, so the highest is
    always kept and no batch is dropped entirely. If losses change slowly, 1 / (β + 1) of the
    examples are kept; before the first step, all are. The loss of a mask is the mean over its
    pixels.
    """

    beta: float = 1.0
    history: int = 1024
    warmup_epochs: int = 1
    window: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [history] or fewer

    pooled = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.beta", self.beta, "[0, inf)")
        within("mining.history", self.history, "[1, inf)")

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weight and count to 0 for the dropped examples."""
        if not len(self.window):
            return batch
        return only(batch, self.drawn(example_ranks(ranks), step_id.generator(Purpose.MINE)))

    def mask(self, losses: Tensor, rng: np.random.Generator) -> Tensor:
        """Mask [B] of the examples to keep by their losses [B], which join the window."""
        losses = losses.detach()
        keep = self.drawn(losses, rng) if len(self.window) else torch.ones_like(losses).bool()
        self.window = self.pushed(losses)
        return keep

    def drawn(self, ranks: Tensor, rng: np.random.Generator) -> Tensor:
        """Mask [B] of the examples to keep, drawn by their ranks [B]."""
        uniform = torch.from_numpy(rng.random(len(ranks), dtype=np.float32))
        return uniform.to(ranks.device) < self.chance(ranks)

    def chance(self, ranks: Tensor) -> Tensor:
        """CDF(rank)^β of each of the ranks [B]."""
        recent = self.pushed(ranks).sort().values
        below = torch.searchsorted(recent, ranks, right=True)
        return (below / len(recent)) ** self.beta

    def pushed(self, ranks: Tensor) -> Tensor:
        """The last `history` of the window's ranks and the ranks [B]."""
        return torch.cat([self.window.to(ranks.device), ranks])[-self.history :]

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Append the ranks [B] or [B, H, W] of a step, those of dropped examples included."""
        self.window = self.pushed(example_ranks(ranks))

    def state_dict(self) -> dict[str, Any]:
        """The window of recent ranks."""
        return {"window": self.window.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the window."""
        window = state["window"]
        number = min(len(window), self.history)
        self.window = match_tensor(torch.empty(number), window, "window")
