"""Training on what the model gets wrong, found by a pass over the whole training set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch, Miner
from trainer.mining.shared.running_scores import dominant


@dataclass(kw_only=True)
class Misclassified(Miner):
    """Trains on the rows of wrong examples alone, or of those whose p_y is below `threshold`.

    The set is scanned every `every` epochs, in dataset order, in eval mode, without gradient,
    augmentation or mixing. Ranks are 1 − p_y under a threshold and errors without one, whatever
    `score` says. A mask is selected when one of its pixels is. Where nothing is wrong the epoch
    has no rows, and the planner trains on all.
    """

    targets = ("class", "mask")

    threshold: float | None = None
    every: int = 1
    warmup_epochs: int = 1
    selected: Tensor | None = field(init=False, default=None)  # [s] dataset ids

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.every", self.every, "[1, inf)")
        if self.threshold is not None:
            within("mining.threshold", self.threshold, "(0, 1]")
        self.score = "error" if self.threshold is None else "confidence"

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Scan the training set and keep the ids of what is wrong."""
        if self.selected is not None and (epoch.number - self.warmup_epochs) % self.every:
            return
        least = 0.0 if self.threshold is None else 1 - self.threshold
        self.selected = epoch.ids[worst(scan(epoch.ids)) > least]

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The rows of the selected examples, in the plan's order."""
        if self.selected is None:
            return plan
        return among(plan, self.selected, epoch.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The selected ids."""
        return {"selected": self.selected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.selected = state["selected"]


def worst(ranks: Tensor) -> Tensor:
    """Ranks [n] of ranks [n], or of the pixels' [n, H, W]: the highest."""
    return ranks.reshape(len(ranks), -1).amax(1)


def among(plan: Plan, ids: Tensor, batch_size: int) -> Plan:
    """The rows whose example, the one with the largest share, is among the ids, cut anew."""
    return plan.rows(torch.isin(dominant(plan), ids).nonzero()[:, 0], batch_size)
