"""mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), eq. 1."""

import numpy as np
import torch

from trainer.batch import Batch, blend
from trainer.check import within
from trainer.mixer.base import Drawing, Mixer


class Mixup(Mixer):
    """λ·x + (1 − λ)·x' with λ ~ Beta(α, α), drawn once for a batch or for each image."""

    def __init__(self, *, alpha: float = 1.0, per_image: bool = False) -> None:
        within("mixer.alpha", alpha, "(0, inf)")
        self.alpha = alpha
        self.per_image = per_image

    def draw(self, size: int, image: tuple[int, int], rng: np.random.Generator) -> Drawing:
        """A permutation and λ [B]."""
        partner = torch.from_numpy(rng.permutation(size))
        share = rng.beta(self.alpha, self.alpha, size if self.per_image else 1)
        return Drawing([partner], {"share": torch.from_numpy(share).float().expand(size)})

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Blend images and labels with the same λ."""
        share = drawing.values["share"]
        images = torch.lerp(parts[1].images, parts[0].images, share[:, None, None, None])
        return blend(images, parts, [share, 1 - share])
