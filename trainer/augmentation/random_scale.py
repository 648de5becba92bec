"""Zoom about the middle: torchvision's `RandomAffine(0, scale)`."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.settings import Range, interval
from trainer.core.seed import ExampleRandom


class RandomScale(Geometric):
    """Each image by a factor of its own, in its frame; the border that enters is black."""

    def __init__(self, *, scale: Range = (0.8, 1.2)) -> None:
        self.scale = interval("augmentation.random_scale.scale", scale, "(0, inf)")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Factors [B]; above 1 the image becomes larger."""
        return draws.uniform(*self.scale)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        matrices = affine_matrix(torch.zeros_like(parameters), scale=parameters)
        return warp(images, matrices, nearest=nearest, fill=fill)
