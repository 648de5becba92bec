"""Additive normal noise: torchvision's `GaussianNoise`."""

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.settings import Range, interval
from trainer.core.seed import ExampleRandom


class GaussianNoise(Augmentation):
    """Adds independent noise to each pixel and channel, then clips to [0, 1].

    `sigma` is its standard deviation, or [low, high] to draw one per image.
    """

    def __init__(self, *, sigma: Range = 0.1) -> None:
        self.sigma = interval("augmentation.gaussian_noise.sigma", sigma, "[0, inf)")

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        sigma = draws.uniform(*self.sigma)[:, None, None, None]
        noise = draws.normals(images[0].numel()).reshape(images.shape)
        return torch.addcmul(images, noise, sigma, out=noise).clamp_(0, 1)
