"""Crop a box of random area and aspect ratio and resize it (Szegedy et al. 2015, sec. 6).

torchvision's `RandomResizedCrop`. Without `size` a piece is never larger than the image, so
antialiasing makes no difference; with it, pieces are resized with antialiasing.
"""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric, output_of
from trainer.augmentation.shared.box import central, column, first, random_offset, sides
from trainer.augmentation.shared.kernel.boxes import shifted, stretched
from trainer.augmentation.shared.kernel.geometry import piece_weights, sample
from trainer.augmentation.shared.settings import interval, output_size
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.windows import Window

GROUP = "augmentation.random_resized_crop"
Box = tuple[Tensor, Tensor, Tensor, Tensor]  # top, left, height, width, each [B]


class RandomResizedCrop(Geometric):
    """Crops a random box of each image and resizes it to `size`, or to that of the images.

    `scale` is the range of its area as a fraction of the image's, `ratio` that of its width over
    its height. If none of ten boxes fits, the largest central box within `ratio` is used.
    """

    def __init__(
        self,
        *,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        size: int | list[int] | None = None,
    ) -> None:
        self.size = output_size(f"{GROUP}.size", size)
        self.scale = interval(f"{GROUP}.scale", scale, "(0, 1]")
        self.ratio = interval(f"{GROUP}.ratio", ratio, "(0, inf)")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Box:
        """Draw boxes [B] inside images of height and width `size`."""
        return self.boxes(draws, *size, central(size, self.ratio))

    def boxes(
        self,
        draws: ExampleRandom,
        height: int | Tensor,
        width: int | Tensor,
        middle: tuple[int | Tensor, int | Tensor],
    ) -> Box:
        """Draw boxes [B] inside images of one size, or of sizes [B], with their `central` boxes."""
        tall, wide = column(height), column(width)
        widths, heights = sides(draws, tall * wide, self.scale, self.ratio)
        fits = (heights > 0) & (heights <= tall) & (widths > 0) & (widths <= wide)
        down, across = first(fits, heights, widths)
        any_fits, (rows, columns) = fits.any(1), middle
        down, across = down.where(any_fits, rows), across.where(any_fits, columns)
        top, left = random_offset(draws, height - down), random_offset(draws, width - across)
        top = top.where(any_fits, (height - rows) // 2)
        return top, left.where(any_fits, (width - columns) // 2), down, across

    def windows(self, draws: ExampleRandom, height: Tensor, width: Tensor) -> list[Window]:
        """Draw the boxes of images of heights and widths [B], to be resized to `size`."""
        pairs = zip(height.tolist(), width.tolist(), strict=True)
        rows, columns = torch.tensor([central(pair, self.ratio) for pair in pairs]).unbind(1)
        boxes = torch.stack(self.boxes(draws, height, width, (rows, columns)), 1).tolist()
        size = output_of(self)
        return [Window(y, x, tall, wide, size, whole=False) for y, x, tall, wide in boxes]

    def move(self, images: Tensor, parameters: Box, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        top, left, height, width = parameters
        tall, wide = self.size or images.shape[2:]
        if self.size is not None and not nearest:
            down = piece_weights(images.shape[2], top, height, tall)[:, None]
            across = piece_weights(images.shape[3], left, width, wide)[:, None]
            return down @ images @ across.mT
        rows = positions(top, height, tall, nearest=nearest)
        columns = positions(left, width, wide, nearest=nearest)
        return sample(images, rows, columns, nearest=nearest, fill=fill)

    def move_boxes(self, edges: Tensor, parameters: Box, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        top, left, height, width = parameters
        tall, wide = self.size or size
        return stretched(shifted(edges, -left, -top), wide / width, tall / height)


def positions(start: Tensor, length: Tensor, size: int, *, nearest: bool) -> Tensor:
    """Source positions [B, size], along an axis, of boxes `start`, `length` [B] resized to it."""
    centres = torch.arange(size, device=start.device) + 0.5
    inner = centres * (length[:, None] / size)
    inner = inner.floor() if nearest else inner - 0.5
    return start[:, None] + inner.clamp(min=0).minimum(length[:, None] - 1)
