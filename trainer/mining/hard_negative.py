"""Hard negative mining: all positives, and as many of the hardest negatives as a ratio allows.

`online` within each batch (Liu et al. 2016, "SSD: single shot multibox detector",
https://arxiv.org/abs/1512.02325, sec. 2.2). `bootstrap` over the whole set (Sung and Poggio 1998,
"Example-based learning for view-based human face detection"): the negatives that a frozen model
takes for positives are added to what is trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Epoch, Miner, counted, hardest
from trainer.mining.misclassified import among, worst


@dataclass(kw_only=True)
class HardNegative(Miner):
    """Negatives are the examples, or the pixels of masks, of `negative_classes`.

    `online`: `ratio` negatives for each positive of the effective batch, all where there are
    fewer, and at least `min_kept`: a batch without positives still teaches. A mixed image is what
    its dominant label says.

    `bootstrap`: the pool begins with all positives and as many negatives, drawn at random. Every
    `every` epochs the negatives outside are scanned, and those predicted as another class, most
    wrong first (by margin, whatever `score` says), join it: at most `ratio` for each positive. A
    mask with a positive pixel is a positive.
    """

    targets = ("class", "mask")

    mode: Literal["online", "bootstrap"] = "online"
    ratio: float = 3.0
    negative_classes: list[int] = field(default_factory=lambda: [0])
    min_kept: int = 1
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
        """Refuse negative classes that are no label's, or every label's."""
        negative = self.is_negative(labels)
        if bool(negative.all()) or not bool(negative.any()):
            part = "all" if bool(negative.all()) else "none"
            given = f"mining.negative_classes={self.negative_classes}"
            raise ValueError(f"{given}: {part} of the labels are of these classes")

    def is_negative(self, labels: Tensor) -> Tensor:
        """Which labels are of a negative class."""
        negative = torch.zeros_like(labels, dtype=torch.bool)
        for label in self.negative_classes:
            negative |= labels == label
        return negative

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Weight and count 0 for the easy negatives."""
        counts = counted(ranks, batch)
        negative = self.is_negative(batch.dominant()[0])
        positive = ~negative & counts
        limit = (self.ratio * positive.sum() + 0.5).long().clamp(min=self.min_kept)
        return only(batch, positive | hardest(ranks, negative & counts, limit))

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Begin the pool, or add the negatives that the model gets most wrong."""
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
        """The rows of the pool's examples, in the plan's order."""
        return plan if self.pool is None else among(plan, self.pool, epoch.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The pool."""
        return {"pool": self.pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.pool = state["pool"]


def most_wrong(ids: Tensor, margins: Tensor, number: int) -> Tensor:
    """At most `number` of the ids [n] whose margin, largest other p − p_y, is above 0."""
    order = margins.argsort(descending=True, stable=True)[:number]
    return ids[order[margins[order] > 0]]
