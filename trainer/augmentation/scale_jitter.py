"""Large scale jitter (Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177, sec. 3).

torchvision's `ScaleJitter`, then a crop or padding to one size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric, output_of
from trainer.augmentation.shared.box import random_offset
from trainer.augmentation.shared.kernel.boxes import shifted, stretched
from trainer.augmentation.shared.kernel.geometry import resize_weights, sample
from trainer.augmentation.shared.settings import Range, interval, output_size
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.windows import Window

Frame = tuple[Tensor, Tensor, Tensor, Tensor]  # top, left, height, width of the resized, each [B]


class ScaleJitter(Geometric):
    """Resizes each image by a random factor, with antialiasing, at a random position.

    A larger result is cropped, a smaller one surrounded by black. Both have the `size` given, or
    that of the image; a factor of 1 is the scale at which the image fits into it.
    """

    def __init__(
        self, *, scale_range: Range = (0.1, 2.0), size: int | list[int] | None = None
    ) -> None:
        self.size = output_size("augmentation.scale_jitter.size", size)
        self.scale_range = interval(
            "augmentation.scale_jitter.scale_range", scale_range, "(0, inf)"
        )

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Frame:
        """Draw the frames [B] of the resized images, which may extend beyond the original."""
        wanted = self.size or size
        fits = min(out / own for out, own in zip(wanted, size, strict=True))
        return self.frames(draws, [side * fits for side in size], wanted)

    def frames(
        self, draws: ExampleRandom, fitted: Sequence[float | Tensor], wanted: tuple[int, int]
    ) -> Frame:
        """Draw frames [B] from the heights and widths, in all or [B], that just fit in."""
        factor = draws.uniform(*self.scale_range)
        height, width = ((side * factor).long().clamp(min=1) for side in fitted)
        starts = []
        for side, resized in zip(wanted, (height, width), strict=True):
            margin = side - resized  # negative if the image is cropped
            starts.append(random_offset(draws, margin.abs()) + margin.clamp(max=0))
        return starts[0], starts[1], height, width

    def windows(self, draws: ExampleRandom, height: Tensor, width: Tensor) -> list[Window]:
        """Draw the frames of images of heights and widths [B]."""
        size = output_of(self)
        fits = torch.minimum(size[0] / height.double(), size[1] / width.double())
        fitted = [(side * fits).float() for side in (height, width)]
        frames = torch.stack(self.frames(draws, fitted, size), 1).tolist()
        return [Window(y, x, tall, wide, size, whole=True) for y, x, tall, wide in frames]

    def move(self, images: Tensor, parameters: Frame, *, nearest: bool, fill: float) -> Tensor:
        """Moved images [B, C, H, W]."""
        top, left, height, width = parameters
        tall, wide = self.size or images.shape[2:]
        if nearest:
            rows = positions(top, height, images.shape[2], tall)
            columns = positions(left, width, images.shape[3], wide)
            return sample(images, rows, columns, nearest=True, fill=fill)
        rows = resize_weights(images.shape[2], height, top, tall)[:, None]
        columns = resize_weights(images.shape[3], width, left, wide)[:, None]
        return rows @ (images - fill) @ columns.mT + fill

    def move_boxes(self, edges: Tensor, parameters: Frame, size: tuple[int, int]) -> Tensor:
        """Moved edges [B, N, 4]."""
        top, left, height, width = parameters
        return shifted(stretched(edges, width / size[1], height / size[0]), left, top)


def positions(start: Tensor, resized: Tensor, size: int, output: int) -> Tensor:
    """Source pixel [B, output] of each pixel along an axis; −2 outside the resized image."""
    offset = torch.arange(output, device=start.device) - start[:, None]
    inside = (offset >= 0) & (offset < resized[:, None])
    return ((offset + 0.5) * (size / resized)[:, None]).floor().where(inside, -2)
