"""CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899), eq. 1 and 2."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.augmentation.shared.kernel.geometry import rectangle
from trainer.core.batch import Batch, blend
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing, fuse
from trainer.mixer.shared.pair import Pair


@dataclass(kw_only=True)
class Cutmix(Pair):
    """Pastes a box of the partner with the area 1 − λ, λ ~ Beta(α, α).

    The box has a random centre and is clipped at the border, so the labels' shares are those of
    the pasted pixels, not λ. Targets that are masks or images are pasted likewise.
    """

    targets = ("class", "multilabel", "mask", "image")

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """A permutation, boxes [B, 4] (top, left, height, width), and shares [B] outside them."""
        partner, kept = self.pair(size, rng)
        side, number = np.sqrt(1 - kept), len(kept)
        (top, height), (left, width) = (
            clip_intervals(rng.integers(0, whole, number), (whole * side).astype(int), whole)
            for whole in image
        )
        share = torch.from_numpy(1 - height * width / (image[0] * image[1])).float()
        box = torch.from_numpy(np.stack([top, left, height, width], 1))
        return Drawing([partner], {"box": box.expand(size, 4), "share": share.expand(size)})

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Paste the partners' boxes onto the images [B, C, H, W] of parts[0]."""
        share, size = drawing.values["share"], parts[0].images.shape
        top, left, height, width = drawing.values["box"].unbind(1)
        inside = rectangle(top, left, height, width, (size[-2], size[-1]))
        images = paste(parts[0].images, parts[1].images, inside)
        if self.side_by_side:
            return blend(images, parts, [share, 1 - share])
        labels = paste(parts[0].labels, parts[1].labels, inside)
        return fuse(images, labels, parts, [share, 1 - share])


def clip_intervals(
    centre: np.ndarray, length: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of intervals with a centre and length, [n], clipped to [0, limit)."""
    start = centre - length // 2
    inside = start.clip(0, limit)
    return inside, (start + length).clip(0, limit) - inside


def paste(onto: Tensor, other: Tensor, inside: Tensor) -> Tensor:
    """[B, ..., H, W] with the pixels of `other` where `inside` [B, H, W] is true."""
    size, *area = inside.shape
    return torch.where(inside.view(size, *[1] * (onto.ndim - 3), *area), other, onto)
