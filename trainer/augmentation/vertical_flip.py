"""Mirror top and bottom."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.check import within
from trainer.seed import Draws


class VerticalFlip(Geometric):
    """Each image is mirrored with probability `p`."""

    def __init__(self, *, p: float = 0.5) -> None:
        within("augmentation.vertical_flip.p", p, "[0, 1]")
        self.p = p

    def draw(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Whether to mirror, [B] bool."""
        return draws.chance(self.p)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        return torch.where(parameters[:, None, None, None], images.flip(2), images)
