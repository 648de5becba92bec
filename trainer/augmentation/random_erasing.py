"""Random erasing (Zhong et al. 2020, https://arxiv.org/abs/1708.04896), as in torchvision.

With `value=random`, torchvision fills with normal noise, since it erases after standardisation.
Here erasing comes before it, with the noise of the paper: uniform on [0, 1) in each pixel and
channel.
"""

from typing import Literal

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.box import first, random_offset, sides
from trainer.augmentation.shared.kernel.geometry import rectangle
from trainer.augmentation.shared.settings import interval
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom

GROUP = "augmentation.random_erasing"


class RandomErasing(Augmentation):
    """With probability `p`, fills a random box of each image with `value`.

    `scale` is the range of its area as a fraction of the image's, `ratio` that of its height over
    its width. An image is left unchanged if none of ten boxes fits.
    """

    def __init__(
        self,
        *,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Literal["random"] = 0.0,
    ) -> None:
        within(f"{GROUP}.p", p, "[0, 1]")
        self.p = p
        self.scale = interval(f"{GROUP}.scale", scale, "[0, 1]")
        self.ratio = interval(f"{GROUP}.ratio", ratio, "(0, inf)")
        self.value = None if isinstance(value, str) else value
        if self.value is not None:
            within(f"{GROUP}.value", self.value, "[0, 1]")

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Tensor:
        """Draw the boxes of images of height and width `size`, as masks bool [B, H, W]."""
        heights, widths = sides(draws, size[0] * size[1], self.scale, self.ratio)
        fits = (heights < size[0]) & (widths < size[1])
        height, width = first(fits, heights, widths)
        erased = draws.chance(self.p) & fits.any(1)
        top, left = random_offset(draws, size[0] - height), random_offset(draws, size[1] - width)
        return rectangle(top, left, height, width, size) & erased[:, None, None]

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        boxes = self.draw(draws, (images.shape[2], images.shape[3]))[:, None]
        if self.value is not None:
            return images.masked_fill(boxes, self.value)
        return torch.where(boxes, draws.uniforms(images[0].numel()).reshape(images.shape), images)
