"""Jitter brightness, contrast, saturation and hue in random order: torchvision's `ColorJitter`."""

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.kernel.colour import blend, grey, hue
from trainer.augmentation.shared.settings import Range, around
from trainer.core.errors import ConfigError
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split

GROUP = "augmentation.color_jitter"
CONTRAST, SATURATION = 1, 2  # indices in `factors`; 0 is brightness


class ColorJitter(Augmentation):
    """Applies random factors in random order to each image; a setting v means 1 − v to 1 + v.

    `hue` is a fraction of the colour circle, at most 0.5 in either direction. `saturation` and
    `hue` leave grey images unchanged.
    """

    def __init__(
        self,
        *,
        brightness: Range = 0.4,
        contrast: Range = 0.4,
        saturation: Range = 0.4,
        hue: Range = 0.1,
    ) -> None:
        self.factors = (
            around(f"{GROUP}.brightness", brightness, 1, "[0, inf)"),
            around(f"{GROUP}.contrast", contrast, 1, "[0, inf)"),
            around(f"{GROUP}.saturation", saturation, 1, "[0, inf)"),
        )
        self.hue = around(f"{GROUP}.hue", hue, 0, "[-0.5, 0.5]")

    def prepare(self, split: Split) -> None:
        """Raise ConfigError for images that are neither grey nor RGB."""
        channels = split.images.shape[0]
        if channels not in (1, 3):
            raise ConfigError(f"{GROUP} needs grey or RGB images, got {channels} channels")

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        factors = torch.stack([draws.uniform(*factor) for factor in self.factors], dim=1)
        order, early = draws.uniforms(3).argsort(1), draws.integer(0, 4)
        if images.shape[1] == 1 or self.hue == (0, 0):
            return adjust(images, factors.gather(1, order), order)
        return jitter(images, factors, order, draws.uniform(*self.hue), early)


def jitter(images: Tensor, factors: Tensor, order: Tensor, turn: Tensor, early: Tensor) -> Tensor:
    """Adjust images [B, C, H, W] by `factors` [B, 3] in `order` [B, 3] and their hue by `turn` [B].

    The hue comes after the first `early` [B] of the three. It costs the most, so it is computed
    once for all images; the others run both before and after it, with factor 1 in the place where
    they do not apply.
    """
    ordered = factors.gather(1, order)
    before = torch.arange(3, device=images.device) < early[:, None]
    images = adjust(images, ordered.where(before, 1.0), order)
    return adjust(hue(images, turn), ordered.where(~before, 1.0), order)


def adjust(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Adjust images [B, C, H, W] by factors [B, 3] of the three operations `order` [B, 3]."""
    for factor, operation in zip(
        factors.unbind(1), order[:, :, None, None, None].unbind(1), strict=True
    ):
        plain = grey(images)
        mean = plain.mean((1, 2, 3), keepdim=True).where(operation == CONTRAST, 0.0)
        images = blend(images, plain.where(operation == SATURATION, mean), factor)
    return images
