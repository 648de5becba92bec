"""Soft Dice with plain sums (Drozdzal et al. 2016, https://arxiv.org/abs/1608.04117).

1 − (2Σxy + s) / (Σx + Σy + s) for each class of each image, x being the probability of the class
and y its mask, summed over the pixels; then the mean over the classes. (The original, Milletari et
al. 2016, https://arxiv.org/abs/1606.04797, has squares in the denominator: Σx² + Σy².)
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from trainer.core.batch import TINY
from trainer.core.ranges import within
from trainer.loss.base import Loss


class Dice(Loss):
    """One value per image [B]; ignored pixels are left out of the sums.

    A class absent from the image contributes 1 − s / (Σx + s) (`absent: count`), which penalizes
    small predictions of it and saturates near 1 for large ones; or it is left out of the mean
    (`skip`), so that predicting it costs nothing. Without `background` class 0 is left out too.
    An image with no class left has a loss of 0.

    With `batch` the sums run over the whole batch and each image gets the loss of the batch. In
    eval mode each image always has its own, which does not depend on how the split is batched. An
    image whose pixels are all ignored has a loss of 0 and does not count.
    """

    targets: ClassVar[tuple[str, ...]] = ("mask",)
    pixelwise = False

    def __init__(
        self,
        *,
        form: Literal["softmax", "sigmoid"] = "softmax",
        smooth: float = 1.0,
        batch: bool = False,
        background: bool = True,
        absent: Literal["count", "skip"] = "count",
    ) -> None:
        super().__init__()
        within("loss.smooth", smooth, "[0, inf)")
        self.form = form
        self.smooth = smooth
        self.whole_batch = batch  # so no mining, mixing, chunks or several processes
        self.background = background
        self.absent = absent

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C, H, W], [B, H, W] → [B]."""
        return self.dice(outputs, labels) * self.count(labels)

    def count(self, labels: Tensor) -> Tensor:
        """1 for each image [B] with a pixel that is not ignored, else 0."""
        return self.valid(labels).flatten(1).any(1).float()

    def valid(self, labels: Tensor) -> Tensor:
        """Mask [B, H, W] of the pixels that are not ignored."""
        if self.ignore_index is None:
            return torch.ones_like(labels, dtype=torch.bool)
        return labels != self.ignore_index

    def dice(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean Dice loss over the classes: [B, C, H, W], [B, H, W] → [B]."""
        overlap, predicted, true = self.sums(outputs, labels)
        total = predicted + true + self.smooth
        losses = 1 - (2 * overlap + self.smooth) / total.clamp(min=TINY)
        counted = torch.ones_like(true) if self.absent == "count" else (true > 0).to(true.dtype)
        if not self.background:
            counted[:, 0] = 0
        return ((counted * losses).sum(1) / counted.sum(1).clamp(min=1)).expand(len(outputs))

    def sums(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Σxy, Σx and Σy of each class over the pixels [B, C], or over the whole batch [1, C]."""
        valid = self.valid(labels)
        x = outputs.softmax(1) if self.form == "softmax" else outputs.sigmoid()
        x = x * valid[:, None]
        classes = labels.masked_fill(~valid, 0)[:, None]
        y = torch.zeros_like(x).scatter_(1, classes, valid[:, None].to(x.dtype))
        pixels = (0, 2, 3) if self.whole_batch and self.training else (2, 3)
        overlap, predicted, true = (v.sum(pixels).reshape(-1, v.shape[1]) for v in (x * y, x, y))
        return overlap, predicted, true
