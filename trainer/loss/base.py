"""The contract of a loss: one value per example or pixel, for hard labels, never reduced."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainer.core.batch import Batch, contract


class Loss(nn.Module, ABC):
    """Base of all losses. A loss's persistent buffers are part of the checkpoint."""

    targets: ClassVar[tuple[str, ...]] = ("class", "mask")  # kinds of target it accepts
    batchwise = False  # whether reweigh() needs survey() of the whole effective batch first
    whole_batch = False  # whether a value depends on the whole batch: no miner, no mixer
    needs_single = False  # whether it learns from images of a single example alone
    pixelwise = True  # whether a mask has one value per pixel rather than one per image
    ignore_index: int | None = None  # label of the pixels to ignore: see `ignore`

    def ignore(self, label: int | None) -> None:
        """Leave pixels with this label out of the loss, as the task's `ignore_index` asks."""
        self.ignore_index = label

    def instead(self, target: str) -> str | None:
        """The setting with which it supports a kind of target that it does not, if any."""
        return None

    @abstractmethod
    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Unreduced losses [B] or [B, H, W] of outputs [B, C, ...] for hard labels [B, ...]."""

    def count(self, labels: Tensor) -> Tensor:
        """Contribution of each label [B, ...] to the denominator: 1, or its class weight."""
        shape = labels.shape[:1] if labels.ndim == 2 else labels.shape  # multi-hot [B, C]: 1 each
        return torch.ones(shape, device=labels.device)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """`score` [B] or [B, H, W] of outputs [B, C, ...], with 0 for ignored pixels."""
        if not self.ignores:
            return self.score(outputs, labels)
        losses = self.score(outputs, self.fill_ignored(labels))
        return losses.masked_fill(labels == self.ignore_index, 0.0)

    def denominator(self, labels: Tensor) -> Tensor:
        """`count` of the labels [B, ...], with 0 for ignored pixels."""
        if not self.ignores:
            return self.count(labels)
        return self.count(self.fill_ignored(labels)).masked_fill(labels == self.ignore_index, 0.0)

    @property
    def uniform(self) -> bool:
        """True if every label counts 1, so that `denominator` need not be called."""
        return type(self).count is Loss.count and not self.ignores

    @property
    def ignores(self) -> bool:
        """True if this class masks ignored pixels; a loss of one value per image does so itself."""
        return self.pixelwise and self.ignore_index is not None

    def fill_ignored(self, labels: Tensor) -> Tensor:
        """The labels [B, ...] with class 0 in place of `ignore_index`."""
        return labels.masked_fill(labels == self.ignore_index, 0) if self.ignores else labels

    def prepare(self, class_counts: Tensor) -> None:
        """Receive the number of training examples (or pixels) of each class [C]."""

    def allocate(self, examples: int, classes: int) -> None:
        """Receive the sizes of a state by example: dataset ids are below `examples`."""

    def guarded(self) -> list[Tensor]:
        """The buffers that a step copies, to restore them should it be skipped; see `undo`."""
        return list(self.buffers())

    def undo(self, skipped: Tensor) -> None:
        """Take back what the last survey changed in other buffers if `skipped`, a bool [], is true.

        The value stays on its device.
        """

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Collect statistics of the whole effective batch, once per step, without gradient."""

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """Weight the losses [B] or [B, H, W] of a chunk by the survey. Training only."""
        return losses

    def batch_losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Training losses [B] or [B, H, W] of a whole batch, mixed or not, before `mean_loss`.

        The share-weighted sum over the K labels of an image, then `survey` and `reweigh`, as in a
        training step of the runner.
        """
        losses = contract(lambda labels: self.forward(outputs, labels), batch)
        if self.batchwise:
            with torch.no_grad():
                self.survey(losses.detach(), outputs.detach(), batch)
        return self.reweigh(losses, outputs, batch)

    def batch_counts(self, batch: Batch) -> Tensor:
        """The share-weighted `denominator` [B] or [B, H, W] of a batch: `counts` of `mean_loss`."""
        return contract(self.denominator, batch)

    def unprepared(self, missing: str) -> RuntimeError:
        """The error for a loss that is used before `prepare`, which sets its `missing` values."""
        return RuntimeError(
            f"{type(self).__name__} has no {missing} yet: first call prepare(class_counts) with "
            "the number of training examples of each class"
        )
