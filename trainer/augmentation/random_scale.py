"""Zoom about the centre: torchvision's `RandomAffine(0, scale)`."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.boxes import mapped
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.settings import Range, interval
from trainer.core.seed import ExampleRandom


class RandomScale(Geometric):
    """Scales each image by a random factor at constant size; pixels from outside are black."""

    def __init__(self, *, scale: Range = (0.8, 1.2)) -> None:
        self.scale = interval("augmentation.random_scale.scale", scale, "(0, inf)")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw factors [B]; above 1 magnifies."""
        return draws.uniform(*self.scale)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        matrices = affine_matrix(torch.zeros_like(parameters), scale=parameters)
        return warp(images, matrices, nearest=nearest, fill=fill)

    def move_boxes(self, edges: Tensor, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        matrices = affine_matrix(torch.zeros_like(parameters), scale=parameters)
        return mapped(edges, matrices, size)
