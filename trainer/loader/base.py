"""What a loader does: batches of a plan, pixels as they are stored; no random number in sight."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.plan import Plan, StepRows
from trainer.dataset import Split


class Feed(ABC):
    """The images of a split, ready to be asked for."""

    @abstractmethod
    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """The plan's batches from step `start` on; images uint8 or float32, 0 to 255."""


class Loader(ABC):
    """Makes feeds, one for each split."""

    @abstractmethod
    def open(self, split: Split, device: torch.device) -> Feed:
        """The feed of a split whose batches lie on the device."""


def batch_of(images: Tensor, labels: Tensor, piece: StepRows) -> Batch:
    """The batch of a piece of a plan, from their images [B, ...] and labels [B, K, ...].

    Masks are uint8 until here; losses take classes as int64, and numbers [B, K] as [B, K, 1].
    """
    if labels.is_floating_point() and labels.ndim == 2:
        labels = labels[..., None]
    if not labels.is_floating_point():
        labels = labels.long()
    return Batch(images, labels, piece.shares, piece.ids, piece.weight, piece.count)


def interpolate(images: list[Tensor], shares: Tensor) -> Tensor:
    """Blend K image batches [B, C, H, W] by shares [B, K], to float32; one stays as it is."""
    if len(images) == 1:
        return images[0]
    return sum(
        (part.float() * shares[:, k, None, None, None] for k, part in enumerate(images)),
        torch.zeros((), device=shares.device),
    )
