"""Mirror left and right."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom


class HorizontalFlip(Geometric):
    """Each image is mirrored with probability `p`."""

    def __init__(self, *, p: float = 0.5) -> None:
        within("augmentation.horizontal_flip.p", p, "[0, 1]")
        self.p = p

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Whether to mirror, [B] bool."""
        return draws.chance(self.p)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]: one pass, that takes each pixel from its column."""
        at = mirrored(parameters, images.shape[3])
        return images.gather(3, at[:, None, None].expand(images.shape))


def mirrored(which: Tensor, length: int) -> Tensor:
    """Where each place of an axis comes from [B, length]: the other way round for `which` [B]."""
    places = torch.arange(length, device=which.device)
    return torch.where(which[:, None], places.flip(0), places)
