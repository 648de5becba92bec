"""Mixers of two images."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.mixer.base import Mixer


@dataclass(kw_only=True)
class Pair(Mixer):
    """Mixes each image with another of its batch, λ ~ Beta(α, α) per batch or per image."""

    alpha: float = 1.0
    per_image: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mixer.alpha", self.alpha, "(0, inf)")

    def pair(self, size: int, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Draw the partners, a permutation [B], and λ [1], or [B] with `per_image`."""
        partner = torch.from_numpy(rng.permutation(size))
        return partner, rng.beta(self.alpha, self.alpha, size if self.per_image else 1)
