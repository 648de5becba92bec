"""mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), eq. 1."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, blend
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing, fuse
from trainer.mixer.shared.pair import Pair


@dataclass(kw_only=True)
class Mixup(Pair):
    """λ·x + (1 − λ)·x' with λ ~ Beta(α, α), one λ per batch or per image.

    Targets that are vectors or images are blended with the same λ.
    """

    targets = ("class", "multilabel", "vector", "image")
    uniform = True

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Draw a permutation and λ [B]."""
        partner, share = self.pair(size, rng)
        return Drawing([partner], {"share": torch.from_numpy(share).float().expand(size)})

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Blend images [B, C, H, W] and labels with the same λ."""
        share = drawing.values["share"]
        images = lerp(parts[1].images, parts[0].images, share)
        if self.side_by_side:
            return blend(images, parts, [share, 1 - share])
        labels = lerp(parts[1].labels, parts[0].labels, share)
        return fuse(images, labels, parts, [share, 1 - share])


def lerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """[B, ...]: `share` [B] of `end` and the rest of `start`."""
    return torch.lerp(start, end, share.view(-1, *[1] * (end.ndim - 1)))
