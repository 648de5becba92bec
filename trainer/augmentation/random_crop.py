"""Pad the border and cut the original size at a random place (He et al. 2016, sec. 4.2)."""

from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.geometry import cut
from trainer.augmentation.shared.settings import check_pixels, pixels
from trainer.core.seed import ExampleRandom


class RandomCrop(Geometric):
    """Each image is shifted by up to `padding` pixels either way; what enters is black.

    A `padding` with a decimal point is a part of the side: 0.125 is 4 pixels of 32, 28 of 224.
    """

    def __init__(self, *, padding: int | float = 4) -> None:
        check_pixels("augmentation.random_crop.padding", padding)
        self.padding = padding

    def margins(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of padding for images of height and width `size`."""
        return pixels(self.padding, size[0]), pixels(self.padding, size[1])

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Top and left [B] of the cut in the padded image."""
        rows, columns = self.margins(size)
        return draws.integer(0, 2 * rows + 1), draws.integer(0, 2 * columns + 1)

    def move(
        self, images: Tensor, parameters: tuple[Tensor, Tensor], *, nearest: bool, fill: float
    ) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        top, left = parameters
        margins = self.margins((images.shape[2], images.shape[3]))
        return cut(images, top, left, margins, fill)
