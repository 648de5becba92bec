"""Rotate, shift, scale and shear at once: torchvision's `RandomAffine`."""

from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.kernel.boxes import mapped
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.settings import Range, around, interval
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom

GROUP = "augmentation.affine"


class Affine(Geometric):
    """Applies a random affine map about the centre of each image; pixels from outside are black.

    `degrees` are clockwise. `translate` is the largest shift as a fraction of width and height,
    rounded to whole pixels. `shear` is in degrees, along x or along x and y.
    """

    def __init__(
        self,
        *,
        degrees: Range = 10.0,
        translate: tuple[float, float] = (0.1, 0.1),
        scale: Range = (0.9, 1.1),
        shear: Range | tuple[float, float, float, float] = 0.0,
    ) -> None:
        within(f"{GROUP}.translate", translate, "[0, 1]")
        along_x, along_y = (shear[:2], shear[2:]) if isinstance(shear, tuple) else (shear, 0.0)
        self.degrees = around(f"{GROUP}.degrees", degrees, 0, "[-360, 360]")
        self.translate = translate
        self.scale = interval(f"{GROUP}.scale", scale, "(0, inf)")
        self.shear_x = around(f"{GROUP}.shear", along_x, 0, "(-90, 90)")
        self.shear_y = around(f"{GROUP}.shear", along_y or 0.0, 0, "(-90, 90)")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw inverse matrices [B, 2, 3] in pixels, for images of height and width `size`."""
        right = draws.uniform(-1, 1) * (self.translate[0] * size[1])
        down = draws.uniform(-1, 1) * (self.translate[1] * size[0])
        return affine_matrix(
            draws.uniform(*self.degrees),
            right=right.round(),
            down=down.round(),
            scale=draws.uniform(*self.scale),
            shear_x=draws.uniform(*self.shear_x),
            shear_y=draws.uniform(*self.shear_y),
        )

    def move(self, images: Tensor, parameters: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        return warp(images, parameters, nearest=nearest, fill=fill)

    def move_boxes(self, edges: Tensor, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        return mapped(edges, parameters, size)
