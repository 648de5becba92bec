"""Horizontal flip: mirror left and right."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.boxes import mirrored
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom


class HorizontalFlip(Geometric):
    """Mirrors each image left to right with probability `p`."""

    def __init__(self, *, p: float = 0.5) -> None:
        within("augmentation.horizontal_flip.p", p, "[0, 1]")
        self.p = p

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw which images to mirror, bool [B]."""
        return draws.chance(self.p)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W], in one gather of columns."""
        columns = mirrored_index(parameters, images.shape[3])
        return images.gather(3, columns[:, None, None].expand(images.shape))

    def move_boxes(self, edges: Tensor, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        return mirrored(edges, parameters, size[1], axis=0)


def mirrored_index(which: Tensor, length: int) -> Tensor:
    """Source index [B, length] of each pixel of an axis, reversed for the images `which` [B]."""
    indices = torch.arange(length, device=which.device)
    return torch.where(which[:, None], indices.flip(0), indices)
