"""Training on the examples that the model gets wrong, found by a scan of the training set."""

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
    """Trains only on examples that are predicted wrong, or whose p_y is below `threshold`.

    The training set is scanned every `every` epochs, in dataset order and eval mode, without
    gradient, augmentation or mixing. Ranks are errors, or 1 − p_y with a threshold; `score` does
    not apply. With several labels an example is predicted wrong if any answer is, and p_y is the
    mean probability of the right answers. A mask is selected if any of its pixels is. If no
    prediction is wrong the plan is empty and the planner trains on everything.
    """

    targets = ("class", "multilabel", "mask")

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
        """Scan the training set for the ids to train on."""
        if self.selected is not None and (epoch.number - self.warmup_epochs) % self.every:
            return
        self.selected = epoch.ids[self.mask(scan(epoch.ids))]

    def mask(self, ranks: Tensor) -> Tensor:
        """Mask [n] of the examples to train on, by ranks [n], or [n, H, W] of masks.

        Ranks are 1 where the prediction is wrong and otherwise 0, or 1 − p_y with a threshold.
        """
        return worst(ranks) > (0.0 if self.threshold is None else 1 - self.threshold)

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The rows of the selected examples, in the plan's order."""
        if self.selected is None:
            return plan
        return restrict(plan, self.selected, epoch.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The selected ids, or None before the first scan."""
        return {"selected": self.selected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the selected ids. Raises ValueError for ids outside the data set."""
        self.selected = self.restored_ids(state["selected"], "selected")


def worst(ranks: Tensor) -> Tensor:
    """Ranks [n] of examples: ranks [n] themselves, or the highest of [n, H, W] over pixels."""
    return ranks.reshape(len(ranks), -1).amax(1)


def restrict(plan: Plan, ids: Tensor, batch_size: int) -> Plan:
    """The plan's rows whose dominant example is among the ids [n], in new batches."""
    return plan.select(torch.isin(dominant(plan), ids).nonzero()[:, 0], batch_size)
