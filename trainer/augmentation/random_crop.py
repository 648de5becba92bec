"""Pad the border and cut the original size at a random place (He et al. 2016, sec. 4.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.check import within
from trainer.seed import Draws


class RandomCrop(Augmentation):
    """Each image is shifted by up to `padding` pixels either way; what enters is black."""

    def __init__(self, *, padding: int = 4) -> None:
        within("augmentation.random_crop.padding", padding, "[1, inf)")
        self.padding = padding

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        height, width = images.shape[-2:]
        top = draws.integer(0, 2 * self.padding + 1)
        left = draws.integer(0, 2 * self.padding + 1)
        padded = F.pad(images, [self.padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view [B, C, y, x, H, W]
        return windows[torch.arange(len(images), device=images.device), :, top, left]
