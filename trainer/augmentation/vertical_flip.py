"""Vertical flip: mirror top and bottom."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.horizontal_flip import mirrored_index
from trainer.augmentation.shared.kernel.boxes import mirrored
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom


class VerticalFlip(Geometric):
    """Mirrors each image top to bottom with probability `p`."""

    def __init__(self, *, p: float = 0.5) -> None:
        within("augmentation.vertical_flip.p", p, "[0, 1]")
        self.p = p

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw which images to mirror, bool [B]."""
        return draws.chance(self.p)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W], in one gather of whole rows."""
        size, channels, height, width = images.shape
        tops = torch.arange(size * channels, device=images.device).view(size, channels, 1) * height
        rows = tops + mirrored_index(parameters, height)[:, None]
        return images.reshape(-1, width).index_select(0, rows.flatten()).view(images.shape)

    def move_boxes(self, edges: Tensor, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        return mirrored(edges, parameters, size[0], axis=1)
