"""Small-loss selection, the rule of co-teaching (Han et al. 2018, https://arxiv.org/abs/1804.06872).

Algorithm 1 with one network in place of two: of each batch only the smallest losses count, a share
R(T) = 1 − min(T/T_k, 1)·τ of them. A network fits right labels first, so large losses are taken for
wrong labels.
"""

from collections.abc import Callable
from dataclasses import InitVar, dataclass

import torch
from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, counted, hardest

Warn = Callable[[str], None]


@dataclass(kw_only=True)
class SmallLoss(Miner):
    """Keeps the easiest share of each batch, which falls linearly from 1 to 1 − τ over T_k epochs.

    `tau` is the share of wrong labels, by default `noise_rate`, the setting dataset.label_noise;
    without either all examples are kept, and `warn` is told. `fall_epochs` is T_k. At least one
    example is kept. In masks, pixels are selected one by one. A single network goes on trusting its
    own mistakes; co-teaching exchanges the selections of two.
    """

    noise_rate: InitVar[float] = 0.0
    warn: InitVar[Warn | None] = None

    tau: float | None = None
    fall_epochs: float = 10.0

    pooled = True
    per_pixel = True

    def __post_init__(self, noise_rate: float, warn: Warn | None) -> None:
        super().__post_init__()
        within("mining.fall_epochs", self.fall_epochs, "[0, inf)")
        if self.tau is not None:
            within("mining.tau", self.tau, "[0, 1)")
        elif not noise_rate and warn is not None:
            warn(
                "mining=small_loss keeps every example: dataset.label_noise=0 and mining.tau=null; "
                "set mining.tau to the share of wrong labels"
            )
        self.forgotten = noise_rate if self.tau is None else self.tau

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weight and count to 0 for everything but the easiest."""
        return only(batch, self.mask(ranks, step_id.epoch, counted(ranks, batch)))

    def mask(self, losses: Tensor, epoch: int, eligible: Tensor | None = None) -> Tensor:
        """Mask of the eligible losses to keep in an epoch, [B] or [B, H, W] like `eligible`."""
        if eligible is None:
            eligible = torch.ones_like(losses, dtype=torch.bool)
        number = (self.share(epoch) * eligible.sum().double() + 0.5).floor().clamp(min=1)
        return hardest(-losses, eligible, number)

    def share(self, epoch: int) -> float:
        """R, the share of the examples to keep in an epoch, counted from 0."""
        progress = epoch / self.fall_epochs if self.fall_epochs else 1.0
        return 1 - min(1.0, progress) * self.forgotten
