"""Rotate about the centre: torchvision's `RandomRotation`."""

from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.boxes import mapped
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.settings import Range, around
from trainer.core.seed import ExampleRandom


class Rotate(Geometric):
    """Rotates each image anticlockwise by a random angle; pixels from outside are black."""

    def __init__(self, *, degrees: Range = 15.0) -> None:
        self.degrees = around("augmentation.rotate.degrees", degrees, 0, "[-360, 360]")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw angles in degrees [B]."""
        return draws.uniform(*self.degrees)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        return warp(images, affine_matrix(-parameters), nearest=nearest, fill=fill)

    def move_boxes(self, edges: Tensor, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        return mapped(edges, affine_matrix(-parameters), size)
