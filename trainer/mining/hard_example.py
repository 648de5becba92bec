"""Hard example mining over the whole training set: L = L(batch) + λ · L(hard batch).

Every k epochs all training examples are scored, and the hardest part becomes a set of its own that
each step draws a second batch from: the scheme of Sung and Poggio 1998 ("Example-based learning
for view-based human face detection"), with the hard set renewed instead of grown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch, Miner, kept, of_examples


@dataclass(kw_only=True)
class HardExample(Miner):
    """Adds (`mode: add`) or trains on alone (`mode: resample`) the hardest `keep` of the set.

    The set is scored every `every` epochs, in dataset order, in eval mode, without gradient,
    augmentation or mixing; a mask by the mean of its pixels. `weight` is λ. A hard batch is as
    large as the batch it is added to.
    """

    keep: float = 0.5
    every: int = 1
    weight: float = 1.0
    mode: Literal["add", "resample"] = "add"
    warmup_epochs: int = 1
    hard: Tensor | None = field(init=False, default=None)  # [h] dataset ids

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")
        within("mining.every", self.every, "[1, inf)")
        within("mining.weight", self.weight, "[0, inf)")

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Score every training example and keep the ids of the hardest."""
        if self.hard is not None and (epoch.number - self.warmup_epochs) % self.every:
            return
        ranks = of_examples(scan(epoch.ids))
        order = ranks.argsort(descending=True, stable=True)
        self.hard = epoch.ids[order[: kept(len(order), self.keep)]]

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan with hard batches added, or a plan of the hard set alone."""
        if self.hard is None:
            return plan
        if self.mode == "resample":
            return Plan.of(draw(self.hard, len(self.hard), epoch.generator()), epoch.batch_size)
        return plan.with_added(draw(self.hard, len(plan), epoch.generator()), self.weight)

    def state_dict(self) -> dict[str, Any]:
        """The hard set."""
        return {"hard": self.hard}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the hard set back."""
        self.hard = state["hard"]


def draw(ids: Tensor, number: int, rng: np.random.Generator) -> Tensor:
    """`number` of the ids, in shuffled passes over all of them."""
    passes = [rng.permutation(len(ids)) for _ in range(-(-number // len(ids)))]
    return ids.index_select(0, torch.from_numpy(np.concatenate(passes)[:number]))
