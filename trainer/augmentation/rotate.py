"""Rotate about the middle: torchvision's `RandomRotation`."""

from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.settings import Range, around
from trainer.core.seed import ExampleRandom


class Rotate(Geometric):
    """Each image by an angle of its own, anticlockwise; the corners that enter are black."""

    def __init__(self, *, degrees: Range = 15.0) -> None:
        self.degrees = around("augmentation.rotate.degrees", degrees, 0, "[-360, 360]")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Degrees [B]."""
        return draws.uniform(*self.degrees)

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        return warp(images, affine_matrix(-parameters), nearest=nearest, fill=fill)
