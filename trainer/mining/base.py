"""The contract of a miner, six hooks that do nothing by default, and selection of the hardest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, Target, spread
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId, generator
from trainer.core.state import row_ids

Score = Literal["loss", "error", "confidence", "margin", "entropy", "el2n"]
Per = Literal["auto", "batch", "image"]  # what a fraction or a ratio is of


@dataclass(frozen=True)
class Epoch:
    """The information available to a miner at the start of an epoch."""

    number: int  # from 0
    total: int  # epochs of the run
    batch_size: int
    seed: int
    ids: Tensor  # [n] dataset ids of the training split
    labels: Tensor  # [M, ...] labels by dataset id

    def generator(self) -> np.random.Generator:
        """The miner's random number generator for this epoch."""
        return generator(self.seed, Purpose.MINE, self.number)


@dataclass(kw_only=True)
class Miner:
    """Base of all miners; selects every example unless a hook is overridden.

    Ranks are higher for harder examples. `score` defines them: `loss`, `error` (1 where the
    prediction is wrong), `confidence` (1 − p_y), `margin` (largest other p − p_y), `entropy` of the
    prediction, `el2n` ‖p − onehot‖ (Paul et al. 2021, https://arxiv.org/abs/2107.07075). Of several
    labels, `error` is the fraction of wrong answers, `confidence` 1 − the mean probability of the
    right ones, `margin` that of the worst answer, `entropy` the mean over the classes. Ranks of
    mixed images are share-weighted; `rank_by: excess` subtracts the entropy of the shares, since
    otherwise the loss of a mixed image mostly reflects λ. For the first `warmup_epochs` epochs the
    miner only observes.

    For use outside the runner, each miner has a method that needs only losses (or other ranks):
    `mask`, `rows`, `weights` or `draw`.
    """

    score: Score = "loss"
    rank_by: Literal["raw", "excess"] = "raw"
    warmup_epochs: int = 0
    examples: int | None = field(init=False, default=None, repr=False)  # M, once prepared
    words: int = field(init=False, default=0, repr=False)  # word ids of texts, set before prepare()

    targets: ClassVar[tuple[Target, ...]] = (
        "class",
        "multilabel",
        "mask",
        "vector",
        "image",
    )  # accepted
    pooled = False  # True if weigh() needs the ranks of the whole effective batch
    per_pixel = False  # True if it selects single pixels of masks
    delays = False  # True if a step may train on rows of earlier steps, or on none

    def __post_init__(self) -> None:
        within("mining.warmup_epochs", self.warmup_epochs, "[0, inf)")
        if self.rank_by == "excess" and self.score != "loss":
            raise ValueError(f"mining.rank_by=excess needs mining.score=loss, got {self.score}")

    @property
    def observes(self) -> bool:
        """True if the class implements `observe`, so that ranks must be computed."""
        return type(self).observe is not Miner.observe

    @property
    def selects(self) -> bool:
        """True if the class implements `select`, which needs the whole batch."""
        return type(self).select is not Miner.select

    def prepare(self, labels: Tensor) -> None:
        """Receive the labels [M, ...] by dataset id, on the run's device, once before any hook."""
        self.examples = len(labels)

    def restored_ids(self, ids: Tensor | None, name: str) -> Tensor | None:
        """Dataset ids [k] from a checkpoint. Raises ValueError for ids outside the data set."""
        return None if ids is None else row_ids(ids, self.examples, name)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Update what the epoch's plan depends on; `scan` ranks ids [n] with the current model."""

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan to train on, a pure function of `plan`, `epoch` and the last `refresh`."""
        return plan

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The rows to train on, chosen before the training pass; `rank` is a read-only pass."""
        return batch

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """The batch with weight and count set by the ranks [B] or [B, H, W] of all its rows."""
        return batch

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Record the ranks [B] or [B, H, W] of a batch after the update."""

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: tensors, numbers and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def in_each_image(per: Per, ranks: Tensor) -> bool:
    """Whether to choose in each image by itself: by default among the elements [B, E] of boxes."""
    return per == "image" or (per == "auto" and ranks.ndim == 2)


def keep_count(number: int, keep: float, least: int = 1) -> int:
    """The size of a fraction `keep` of `number`, rounded, from `least` to `number`."""
    return min(number, max(least, int(keep * number + 0.5)))


def example_ranks(ranks: Tensor) -> Tensor:
    """Ranks [B] of examples: ranks [B] themselves, or the mean of [B, H, W] over pixels."""
    return ranks.reshape(len(ranks), -1).mean(1)


def hardest(
    ranks: Tensor, eligible: Tensor, number: int | Tensor, *, by_image: bool = False
) -> Tensor:
    """Mask [B], [B, H, W] or [B, E] of the `number` highest ranks among the eligible elements.

    Ties go to the earlier element, so the choice is the same on every machine. A tensor `number`
    stays on its device, without synchronization. With `by_image` that many are chosen in each
    image, and `number` may be [B].
    """
    if by_image:
        candidates = ranks.masked_fill(~eligible, -torch.inf).flatten(1)
        order = candidates.argsort(dim=1, descending=True, stable=True)
        places = torch.arange(order.shape[1], device=order.device).expand_as(order)
        position = torch.empty_like(order).scatter_(1, order, places)
        most = number[:, None] if isinstance(number, Tensor) else number
        return (position < most).view_as(ranks) & eligible
    candidates = ranks.masked_fill(~eligible, -torch.inf).flatten()
    order = candidates.argsort(descending=True, stable=True)
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device)
    return (position < number).view_as(ranks) & eligible


def counted(ranks: Tensor, batch: Batch) -> Tensor:
    """Mask [B] or [B, H, W] of the ranks that count, without added rows and ignored pixels.

    Of elements [B, E], those that have a weight.
    """
    return spread(batch.eligible, ranks).expand_as(ranks)


def sums(mask: Tensor, *, by_image: bool) -> Tensor:
    """The number of true entries of a mask [B, ...], or of each image, [B]."""
    return mask.flatten(1).sum(1) if by_image else mask.sum()
