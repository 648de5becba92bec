"""Crop a box of random area and aspect ratio and resize it (Szegedy et al. 2015, sec. 6).

torchvision's `RandomResizedCrop` with the size of the images. A crop is never larger than the
image, so antialiasing makes no difference.
"""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.box import central, first, place, sides
from trainer.augmentation.shared.kernel.geometry import sample
from trainer.augmentation.shared.settings import interval
from trainer.core.seed import ExampleRandom

GROUP = "augmentation.random_resized_crop"
Box = tuple[Tensor, Tensor, Tensor, Tensor]  # top, left, height, width, each [B]


class RandomResizedCrop(Geometric):
    """Crops a random box of each image and resizes it to the full size.

    `scale` bounds its area as a fraction of the image's, `ratio` its width over its height. If none
    of ten boxes fits, the largest central box with an aspect ratio within `ratio` is used.
    """

    def __init__(
        self,
        *,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.scale = interval(f"{GROUP}.scale", scale, "(0, 1]")
        self.ratio = interval(f"{GROUP}.ratio", ratio, "(0, inf)")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Box:
        """Draw boxes [B] inside images of height and width `size`."""
        widths, heights = sides(draws, size[0] * size[1], self.scale, self.ratio)
        fits = (heights > 0) & (heights <= size[0]) & (widths > 0) & (widths <= size[1])
        height, width = first(fits, heights, widths)
        found, (tall, wide) = fits.any(1), central(size, self.ratio)
        height, width = height.where(found, tall), width.where(found, wide)
        top, left = place(draws, size[0] - height), place(draws, size[1] - width)
        middle = (size[0] - tall) // 2, (size[1] - wide) // 2
        return top.where(found, middle[0]), left.where(found, middle[1]), height, width

    def move(self, images: Tensor, parameters: Box, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        top, left, height, width = parameters
        rows = positions(top, height, images.shape[2], nearest=nearest)
        columns = positions(left, width, images.shape[3], nearest=nearest)
        return sample(images, rows, columns, nearest=nearest, fill=fill)


def positions(start: Tensor, length: Tensor, size: int, *, nearest: bool) -> Tensor:
    """Positions [B, size] along an axis of the image of the pixels of the resized box."""
    middles = torch.arange(size, device=start.device) + 0.5
    inner = middles * (length[:, None] / size)
    inner = inner.floor() if nearest else inner - 0.5
    return start[:, None] + inner.clamp(min=0).minimum(length[:, None] - 1)
