"""What a miner does: six hooks, each a no-op by default."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, Target, spread
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId, generator

Score = Literal["loss", "error", "confidence", "margin", "entropy", "el2n"]


@dataclass(frozen=True)
class Epoch:
    """What a miner may know when an epoch begins."""

    number: int  # from 0
    total: int  # epochs of the run
    batch_size: int
    seed: int
    ids: Tensor  # [n] dataset ids of the training split
    labels: Tensor  # [M, ...] labels by dataset id

    def generator(self) -> np.random.Generator:
        """The miner's random numbers of this epoch."""
        return generator(self.seed, Purpose.MINE, self.number)


@dataclass(kw_only=True)
class Miner:
    """Base of all miners, and the null object among them.

    Ranks are higher for harder examples. `score` names what they are: `loss`, `error` (1 where the
    prediction is wrong), `confidence` (1 − p_y), `margin` (largest other p − p_y), `entropy` of the
    prediction, `el2n` ‖p − onehot‖ (Paul et al. 2021, https://arxiv.org/abs/2107.07075). Under
    mixing they are share-weighted; `rank_by: excess` subtracts the entropy of the shares, so that
    the loss of a mixed image does not mostly rank λ. For the first `warmup_epochs` epochs the miner
    watches (`observe`) and changes nothing.
    """

    score: Score = "loss"
    rank_by: Literal["raw", "excess"] = "raw"
    warmup_epochs: int = 0

    targets: ClassVar[tuple[Target, ...]] = ("class", "mask", "vector", "image")  # of its labels
    pooled = False  # whether weigh() depends on the losses of the whole effective batch
    per_pixel = False  # whether it chooses among the pixels of masks

    def __post_init__(self) -> None:
        within("mining.warmup_epochs", self.warmup_epochs, "[0, inf)")
        if self.rank_by == "excess" and self.score != "loss":
            raise ValueError(f"mining.rank_by=excess needs mining.score=loss, got {self.score}")

    @property
    def observes(self) -> bool:
        """Whether it remembers ranks, so that they are to be computed."""
        return type(self).observe is not Miner.observe

    def prepare(self, labels: Tensor) -> None:
        """Take the labels [M, ...] by dataset id, on the run's device, before anything else."""

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Fix what the epoch is decided by. `scan` ranks ids [n] with the model as it stands."""

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """Change the plan of an epoch: a pure function of the plan, the epoch and what is fixed."""
        return plan

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """Choose rows before the training pass. `rank` is a read-only forward pass."""
        return batch

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weight and count from the ranks [B] (or [B, H, W]) of the effective batch."""
        return batch

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Remember ranks after the update."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps: tensors, numbers and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


def kept(number: int, keep: float, least: int = 1) -> int:
    """How many of `number` a fraction keeps: rounded, at least `least`, at most all."""
    return min(number, max(least, int(keep * number + 0.5)))


def of_examples(ranks: Tensor) -> Tensor:
    """Ranks [B] of ranks [B], or of the pixels' [B, H, W]: their mean."""
    return ranks.reshape(len(ranks), -1).mean(1)


def hardest(ranks: Tensor, eligible: Tensor, number: int | Tensor) -> Tensor:
    """Mask [B] or [B, H, W] of the `number` highest ranks among the eligible elements.

    Ties go to the earlier element, so that the choice is the same on every machine. A number that
    is a tensor on the device is not read back.
    """
    flat = ranks.masked_fill(~eligible, -torch.inf).flatten()
    order = flat.argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return (place < number).view_as(ranks) & eligible


def counted(ranks: Tensor, batch: Batch) -> Tensor:
    """Which elements of ranks [B] or [B, H, W] count: no added row, no ignored pixel."""
    return (spread(batch.count, ranks) > 0).expand_as(ranks)
