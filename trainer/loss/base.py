"""What a loss does: a value per example (or pixel) for hard labels; the step alone reduces."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainer.core.batch import Batch


class Loss(nn.Module, ABC):
    """Base of all losses. Buffers of a loss are part of the checkpoint."""

    targets: ClassVar[tuple[str, ...]] = ("class", "mask")  # kinds of label that it is for
    batchwise = False  # whether reweigh() needs survey() of the whole effective batch first
    whole_batch = False  # whether the values of a chunk depend on all of it: no miner, no mixer
    pixelwise = True  # whether a mask has a value for each pixel; otherwise one for each image
    ignore_index: int | None = None  # the label of pixels that count nothing; the task's

    @abstractmethod
    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Unreduced loss [B] (or [B, H, W]) of float32 outputs for hard labels [B, ...]."""

    def count(self, labels: Tensor) -> Tensor:
        """What each label [B] adds to the denominator: 1, or its class weight."""
        return torch.ones(labels.shape, device=labels.device)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """`score`, with 0 where a pixel is to be ignored."""
        if not self.ignores:
            return self.score(outputs, labels)
        losses = self.score(outputs, self.known(labels))
        return losses.masked_fill(labels == self.ignore_index, 0.0)

    def denominator(self, labels: Tensor) -> Tensor:
        """`count`, with 0 where a pixel is to be ignored."""
        if not self.ignores:
            return self.count(labels)
        return self.count(self.known(labels)).masked_fill(labels == self.ignore_index, 0.0)

    @property
    def uniform(self) -> bool:
        """Whether every label counts 1, so that nothing need be looked up."""
        return type(self).count is Loss.count and not self.ignores

    @property
    def ignores(self) -> bool:
        """Whether pixels are left out here; what has one value for an image does so itself."""
        return self.pixelwise and self.ignore_index is not None

    def known(self, labels: Tensor) -> Tensor:
        """The labels with a class, 0, in place of the one to be ignored."""
        return labels.masked_fill(labels == self.ignore_index, 0) if self.ignores else labels

    def prepare(self, class_counts: Tensor) -> None:
        """Take what the loss needs of the training split: examples (or pixels) of each class."""

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Take statistics of the whole effective batch, once, without gradient."""

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The losses [B] of a chunk after `survey`; called in training only."""
        return losses
