"""Cutout (DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552): fill square holes."""

from typing import Literal

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.kernel.geometry import rectangle
from trainer.augmentation.shared.settings import check_length, to_pixels
from trainer.core.errors import ConfigError
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split
from trainer.dataset.shared.statistics import channel_statistics

GROUP = "augmentation.cutout"


class Cutout(Augmentation):
    """Fills `n_holes` squares per image, centred anywhere in it and clipped at the border.

    A hole covers rows y − ⌊length/2⌋ to y − ⌊length/2⌋ + length − 1. For even lengths this agrees
    with the published code, which loses a row and a column for odd lengths. A `length` with a
    decimal point is a fraction of the shorter side. The paper fills with 0 after standardisation,
    which is the channel's mean.
    """

    def __init__(
        self,
        *,
        n_holes: int = 1,
        length: int | float = 16,
        fill: Literal["mean", "black"] = "mean",
    ) -> None:
        within(f"{GROUP}.n_holes", n_holes, "[1, inf)")
        check_length(f"{GROUP}.length", length)
        self.n_holes, self.length = n_holes, length
        self.mean = fill == "mean"
        self.value: Tensor | None = None if self.mean else torch.zeros(())

    def prepare(self, split: Split) -> None:
        """Compute the channel means. Raises ConfigError for images smaller than a hole."""
        height, width = split.images.shape[1:]
        if self.length > min(height, width):
            raise ConfigError(
                f"{GROUP}.length={self.length} is larger than the images, {height}×{width}; "
                "0.5 is half the shorter side"
            )
        if self.mean:
            self.value = torch.tensor(channel_statistics(split)[0])[:, None, None]

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        if self.value is None:
            raise RuntimeError(
                f"{GROUP}.fill=mean needs the channel means: call prepare(split) first"
            )
        self.value = self.value.to(images.device, non_blocking=True)
        height, width = images.shape[2:]
        length = to_pixels(self.length, min(height, width))
        for _ in range(self.n_holes):
            top = draws.integer(0, height) - length // 2
            left = draws.integer(0, width) - length // 2
            hole = rectangle(top, left, length, length, (height, width))
            images = torch.where(hole[:, None], self.value, images)
        return images
