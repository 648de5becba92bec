"""Shift by whole pixels: torchvision's `RandomAffine(0, translate)`."""

from math import ceil

from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.boxes import shifted
from trainer.augmentation.shared.kernel.geometry import cut
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom


class Shift(Geometric):
    """Shifts each image by up to `fraction` of each side; pixels from outside are black.

    Shifts are uniform in both directions, then rounded to whole pixels to avoid blurring.
    """

    def __init__(self, *, fraction: float = 0.1) -> None:
        within("augmentation.shift.fraction", fraction, "(0, 1]")
        self.fraction = fraction

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Draw shifts down and to the right in pixels, int64 [B]."""
        down, right = (draws.uniform(-1, 1) * (self.fraction * side) for side in size)
        return down.round().long(), right.round().long()

    def move(
        self, images: Tensor, parameters: tuple[Tensor, Tensor], *, nearest: bool, fill: float
    ) -> Tensor:
        """Moved images [B, C, H, W]."""
        rows, columns = (ceil(self.fraction * side) for side in images.shape[2:])
        down, right = parameters
        return cut(images, rows - down, columns - right, (rows, columns), fill)

    def move_boxes(
        self, edges: Tensor, parameters: tuple[Tensor, Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Moved edges [B, N, 4]."""
        down, right = parameters
        return shifted(edges, right, down)
