"""Hard example mining over the whole training set: L = L(batch) + λ · L(hard batch).

Every k epochs all training examples are scored; each step then draws a second batch from the
hardest. This is the scheme of Sung and Poggio 1998 ("Example-based learning for view-based human
face detection") with the hard set replaced instead of grown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch, Miner, example_ranks, keep_count


@dataclass(kw_only=True)
class HardExample(Miner):
    """Adds hard batches (`mode: add`) or trains on the hardest `keep` alone (`mode: resample`).

    The training set is scored every `every` epochs, in dataset order and eval mode, without
    gradient, augmentation or mixing; the score of a mask is the mean over its pixels. `weight` is
    λ. A hard batch has the size of the batch that it is added to.
    """

    keep: float = 0.5
    every: int = 1
    weight: float = 1.0
    mode: Literal["add", "resample"] = "add"
    warmup_epochs: int = 1
    hard: Tensor | None = field(init=False, default=None)  # [h] dataset ids, hardest first

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")
        within("mining.every", self.every, "[1, inf)")
        within("mining.weight", self.weight, "[0, inf)")

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Score every training example and keep the ids of the hardest."""
        if self.hard is not None and (epoch.number - self.warmup_epochs) % self.every:
            return
        self.hard = epoch.ids[self.rows(scan(epoch.ids))]

    def rows(self, losses: Tensor) -> Tensor:
        """Positions [h] of the highest losses [n], or [n, H, W] of masks, hardest first."""
        order = example_ranks(losses).argsort(descending=True, stable=True)
        return order[: keep_count(len(order), self.keep)]

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan with hard batches added, or a plan of the hard set only."""
        if self.hard is None:
            return plan
        if self.mode == "resample":
            return Plan.of(draw(self.hard, len(self.hard), epoch.generator()), epoch.batch_size)
        return plan.with_added(draw(self.hard, len(plan), epoch.generator()), self.weight)

    def state_dict(self) -> dict[str, Any]:
        """The ids of the hard set, or None before the first scan."""
        return {"hard": self.hard}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the hard set. Raises ValueError for ids outside the data set."""
        self.hard = self.restored_ids(state["hard"], "hard")


def draw(ids: Tensor, number: int, rng: np.random.Generator) -> Tensor:
    """Draw `number` of the ids [n], in shuffled passes over all of them."""
    passes = [rng.permutation(len(ids)) for _ in range(-(-number // len(ids)))]
    return ids.index_select(0, torch.from_numpy(np.concatenate(passes)[:number]))
