"""Hard negative mining: all positives, and the hardest negatives up to a ratio.

`online` within each batch (Liu et al. 2016, "SSD: single shot multibox detector",
https://arxiv.org/abs/1512.02325, sec. 2.2). `bootstrap` over the whole set (Sung and Poggio 1998,
"Example-based learning for view-based human face detection"): negatives that the current model
takes for positives are added to the training pool.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from trainer.core.batch import Batch, only, target_kind
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import (
    Epoch,
    Miner,
    Per,
    counted,
    hardest,
    in_each_image,
    sums,
)
from trainer.mining.misclassified import restrict, worst


@dataclass(kw_only=True)
class HardNegative(Miner):
    """Keeps all positives and the hardest examples (or pixels of masks) of `negative_classes`.

    `online`: `ratio` negatives for each positive of the effective batch, or all if there are fewer,
    and at least `min_kept`, so that a batch without positives still trains. A mixed image counts
    by its dominant label. Of boxes, all positives of an image and the hardest of its own negatives
    (`per: image`, which `auto` is for boxes); an image without any keeps `min_kept`. Where
    negatives run out, no positive counts twice, as one does in torchvision's SSD.

    `bootstrap`: the pool starts with all positives and as many random negatives. Every `every`
    epochs the other negatives are scanned, and those predicted as another class join, in order of
    margin (`score` does not apply), at most `ratio` for each positive. A mask with a positive pixel
    is a positive.
    """

    targets = ("class", "mask", "boxes")

    mode: Literal["online", "bootstrap"] = "online"
    ratio: float = 3.0
    negative_classes: list[int] = field(default_factory=lambda: [0])
    min_kept: int = 1
    per: Per = "auto"
    every: int = 1
    pool: Tensor | None = field(init=False, default=None)  # [p] dataset ids

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.ratio", self.ratio, "(0, inf)")
        within("mining.min_kept", self.min_kept, "[0, inf)")
        within("mining.every", self.every, "[1, inf)")
        within("mining.negative_classes", self.negative_classes, "[0, inf)")
        self.pooled = self.per_pixel = self.mode == "online"
        if self.mode == "bootstrap":
            self.score = "margin"

    def prepare(self, labels: Tensor) -> None:
        """Raise ValueError if none or all of the labels are of the negative classes."""
        super().prepare(labels)
        if target_kind(labels) == "boxes":
            return  # a label is of a box, and everything else is a negative
        negative = self.is_negative(labels)
        if bool(negative.all()) or not bool(negative.any()):
            part = "all" if bool(negative.all()) else "none"
            setting = f"mining.negative_classes={self.negative_classes}"
            raise ValueError(f"{setting}: {part} of the labels are of these classes")

    def is_negative(self, labels: Tensor) -> Tensor:
        """Mask of the labels [B, ...] that are of a negative class, same shape."""
        negative = torch.zeros_like(labels, dtype=torch.bool)
        for label in self.negative_classes:
            negative |= labels == label
        return negative

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weight and count to 0 for the easy negatives."""
        return only(batch, self.mask(ranks, batch.dominant()[0], counted(ranks, batch)))

    def mask(self, losses: Tensor, labels: Tensor, eligible: Tensor | None = None) -> Tensor:
        """Mask of the eligible elements to keep; losses and labels are [B], [B, H, W] or [B, E]."""
        negative = self.is_negative(labels)
        if eligible is None:
            eligible = torch.ones_like(negative)
        positive = ~negative & eligible
        alone = in_each_image(self.per, losses)
        of = sums(positive, by_image=alone)
        limit = (self.ratio * of + 0.5).long().clamp(min=self.min_kept)
        return positive | hardest(losses, negative & eligible, limit, by_image=alone)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Start the pool, or add the negatives that the model gets most wrong."""
        if self.mode == "online":
            return
        negative = self.is_negative(epoch.labels[epoch.ids]).reshape(len(epoch.ids), -1).all(1)
        positives, negatives = epoch.ids[~negative], epoch.ids[negative]
        if self.pool is None:
            order = torch.from_numpy(epoch.generator().permutation(len(negatives)))
            self.pool = torch.cat([positives, negatives[order[: len(positives)]]])
        elif (epoch.number - self.warmup_epochs) % self.every == 0:
            outside = negatives[~torch.isin(negatives, self.pool)]
            if len(outside):
                most = int(self.ratio * len(positives) + 0.5)
                self.pool = torch.cat([self.pool, most_wrong(outside, worst(scan(outside)), most)])

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The rows of examples in the pool, in the plan's order."""
        return plan if self.pool is None else restrict(plan, self.pool, epoch.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The ids of the pool, or None before the first epoch."""
        return {"pool": self.pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the pool. Raises ValueError for ids outside the data set."""
        self.pool = self.restored_ids(state["pool"], "pool")


def most_wrong(ids: Tensor, margins: Tensor, number: int) -> Tensor:
    """At most `number` of the ids [n] with a margin [n] above 0, in descending order of margin.

    The margin is the largest other p minus p_y.
    """
    order = margins.argsort(descending=True, stable=True)[:number]
    return ids[order[margins[order] > 0]]
