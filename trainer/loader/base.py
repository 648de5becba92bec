"""Loaders turn a plan into batches of stored pixels. Nothing here is random."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.plan import Plan, StepRows
from trainer.dataset import Split
from trainer.dataset.shared.windows import EpochCut


class Feed(ABC):
    """A source of batches for one split."""

    @abstractmethod
    def batches(self, plan: Plan, start: int = 0, cut: EpochCut | None = None) -> Iterator[Batch]:
        """The plan's batches from step `start` on; images are uint8 or float32, 0 to 255.

        Texts are word ids int32 [B, L]. Of images stored uncut they are the pieces that `cut`
        draws, without it the middle of each.
        """


class Loader(ABC):
    """Opens a feed for each split."""

    @abstractmethod
    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split whose batches are on the device."""


def labels_of(labels: Tensor, ids: Tensor) -> Tensor:
    """The labels [B, K, ...] of examples [B, K], among those of all, [M, ...].

    index_select takes a quarter of the time of indexing.
    """
    return labels.index_select(0, ids.flatten()).view(*ids.shape, *labels.shape[1:])


def batch_of(images: Tensor, labels: Tensor, rows: StepRows) -> Batch:
    """A batch from the plan's rows, images [B, C, H, W] and labels [B, K, ...].

    Integer labels become int64, masks too, which are stored as uint8; multi-hot labels [B, K, C]
    stay bool; numbers [B, K] become [B, K, 1], as losses expect.
    """
    if labels.is_floating_point() and labels.ndim == 2:
        labels = labels[..., None]
    if not (labels.is_floating_point() or (labels.dtype == torch.bool and labels.ndim == 3)):
        labels = labels.long()
    return Batch(images, labels, rows.shares, rows.ids, rows.weight, rows.count)


def interpolate(images: list[Tensor], shares: Tensor) -> Tensor:
    """Blend K image batches [B, C, H, W] by shares [B, K] to float32; one is returned unchanged."""
    if len(images) == 1:
        return images[0]
    return sum(
        (part.float() * shares[:, k, None, None, None] for k, part in enumerate(images)),
        torch.zeros((), device=shares.device),
    )
