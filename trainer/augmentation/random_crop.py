"""Pad the border and crop at a random position (He et al. 2016, sec. 4.2)."""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric, output_of
from trainer.augmentation.shared.box import random_offset
from trainer.augmentation.shared.kernel.boxes import shifted
from trainer.augmentation.shared.kernel.geometry import cut
from trainer.augmentation.shared.settings import check_length, output_size, to_pixels
from trainer.core.errors import DataError
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.windows import Window


class RandomCrop(Geometric):
    """Shifts each image by up to `padding` pixels in any direction; pixels from outside are black.

    A `padding` with a decimal point is a fraction of the side: 0.125 is 4 pixels of 32, 28 of 224.
    The piece has the `size` given, or that of the image.
    """

    def __init__(self, *, padding: int | float = 4, size: int | list[int] | None = None) -> None:
        self.size = output_size("augmentation.random_crop.size", size)
        check_length("augmentation.random_crop.padding", padding)
        self.padding = padding

    def margins(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of padding per side for images of height and width `size`."""
        return to_pixels(self.padding, size[0]), to_pixels(self.padding, size[1])

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Draw top and left [B] of the crop in the padded image."""
        rows, columns = self.margins(size)
        tall, wide = self.size or size
        down, right = size[0] + 2 * rows - tall, size[1] + 2 * columns - wide
        if min(down, right) < 0:
            raise ValueError(
                f"augmentation.random_crop.size={tall}x{wide} is larger than the images, "
                f"{size[0]}x{size[1]}, with their padding"
            )
        return draws.integer(0, down + 1), draws.integer(0, right + 1)

    def windows(self, draws: ExampleRandom, height: Tensor, width: Tensor) -> list[Window]:
        """Draw the pieces of images of heights and widths [B], which are not resized.

        Raises DataError for an image that is too small.
        """
        size, own = output_of(self), list(zip(height.tolist(), width.tolist(), strict=True))
        rows, columns = torch.tensor([self.margins(pair) for pair in own]).unbind(1)
        rooms = [height + 2 * rows - size[0], width + 2 * columns - size[1]]
        if min(int(room.min()) for room in rooms) < 0:
            raise DataError(
                f"augmentation.random_crop.size={size[0]}x{size[1]} is larger than an image, with "
                "its padding; set dataset.size, the short side that all images are brought to"
            )
        top, left = (random_offset(draws, room) for room in rooms)
        places = torch.stack([rows - top, columns - left, height, width], 1).tolist()
        return [Window(y, x, tall, wide, size, whole=True) for y, x, tall, wide in places]

    def move(
        self, images: Tensor, parameters: tuple[Tensor, Tensor], *, nearest: bool, fill: float
    ) -> Tensor:
        """Moved images [B, C, H, W]."""
        top, left = parameters
        margins = self.margins((images.shape[2], images.shape[3]))
        return cut(images, top, left, margins, fill, self.size)

    def move_boxes(
        self, edges: Tensor, parameters: tuple[Tensor, Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Moved edges [B, N, 4]."""
        (rows, columns), (top, left) = self.margins(size), parameters
        return shifted(edges, columns - left, rows - top)
