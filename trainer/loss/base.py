"""What a loss does: a value per example (or pixel) for hard labels; the step alone reduces."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainer.batch import Batch


class Loss(nn.Module, ABC):
    """Base of all losses. Buffers of a loss are part of the checkpoint."""

    batchwise = False  # whether reweigh() needs survey() of the whole effective batch first

    @abstractmethod
    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Unreduced loss [B] (or [B, H, W]) of float32 outputs for hard labels [B, ...]."""

    def count(self, labels: Tensor) -> Tensor:
        """What each label [B] adds to the denominator: 1, or its class weight."""
        return torch.ones(labels.shape, device=labels.device)

    def prepare(self, class_counts: Tensor) -> None:
        """Take what the loss needs of the training split: examples of each class [C]."""

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Take statistics of the whole effective batch, once, without gradient."""

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The losses [B] of a chunk after `survey`; called in training only."""
        return losses


def contract(value: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Σ_k share_k · value(label_k) over the K labels: [B] or [B, H, W]."""
    if batch.labels.shape[1] == 1:
        return value(batch.labels[:, 0])
    values = [value(labels) for labels in batch.labels.unbind(1)]
    return torch.stack(
        [spread(share, v) * v for share, v in zip(batch.shares.unbind(1), values, strict=True)]
    ).sum(0)


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Values [B] shaped [B, 1, ...] so that they go with a tensor [B, ...]."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
