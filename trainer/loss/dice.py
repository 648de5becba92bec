"""Soft Dice with plain sums (Drozdzal et al. 2016, https://arxiv.org/abs/1608.04117).

1 − (2Σxy + s) / (Σx + Σy + s) for each class of each image, x the probability of the class and y
its mask, the sums over the pixels; the mean over the classes. (Milletari et al. 2016,
https://arxiv.org/abs/1606.04797, who began it, have squares below: Σx² + Σy².)
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss

TINY = 1e-30  # keeps 0 / 0 away where s is 0 and a class has neither probability nor pixels


class Dice(Loss):
    """One value for each image [B]; ignored pixels are in no sum.

    A class that is absent from the image has 1 − s / (Σx + s) by the formula (`count`), which asks
    for less of it where there is little and is nearly 1, without slope, where there is much; or it
    is left out of the mean (`skip`), which never asks for less of it there. Without `background`
    class 0 is left out of the mean too. An image with no class in the mean has a loss of 0.

    With `batch` the sums are over the batch as well, and each image has the loss of the batch. That
    is for training; in eval mode each image has its own, which does not depend on how the split is
    cut into batches. An image all of whose pixels are ignored is 0 and does not count.
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
        self.whole_batch = batch  # one ratio: no mining, no mixing, one chunk, one process
        self.background = background
        self.absent = absent

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C, H, W], [B, H, W] → [B]."""
        return self.dice(outputs, labels) * self.count(labels)

    def count(self, labels: Tensor) -> Tensor:
        """1 for each image [B] that has a pixel that is not ignored."""
        return self.kept(labels).flatten(1).any(1).float()

    def kept(self, labels: Tensor) -> Tensor:
        """Which pixels are not ignored, [B, H, W]."""
        if self.ignore_index is None:
            return torch.ones_like(labels, dtype=torch.bool)
        return labels != self.ignore_index

    def dice(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over the classes, [B]."""
        both, given, wanted = self.sums(outputs, labels)
        total = given + wanted + self.smooth
        losses = 1 - (2 * both + self.smooth) / total.clamp(min=TINY)
        use = torch.ones_like(wanted) if self.absent == "count" else (wanted > 0).to(wanted.dtype)
        if not self.background:
            use[:, 0] = 0
        return ((use * losses).sum(1) / use.sum(1).clamp(min=1)).expand(len(outputs))

    def sums(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Σxy, Σx and Σy of each class, [B, C]; [1, C] of the batch."""
        kept = self.kept(labels)
        x = outputs.softmax(1) if self.form == "softmax" else outputs.sigmoid()
        x = x * kept[:, None]
        classes = labels.masked_fill(~kept, 0)[:, None]
        y = torch.zeros_like(x).scatter_(1, classes, kept[:, None].to(x.dtype))
        pixels = (0, 2, 3) if self.whole_batch and self.training else (2, 3)
        both, given, wanted = (v.sum(pixels).reshape(-1, v.shape[1]) for v in (x * y, x, y))
        return both, given, wanted
