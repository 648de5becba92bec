"""Augmentations: random changes of the images of a batch, each image with its own parameters."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split


class Augmentation(ABC):
    """Changes each image of a batch with random parameters of its own."""

    def prepare(self, split: Split) -> None:
        """Compute what the augmentation needs from the training split, before the first call.

        Raises ConfigError for images that it cannot be applied to.
        """

    @abstractmethod
    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augment images [B, C, H, W], float32 in [0, 1], with parameters [B] from `draws`."""

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Augment images together with their target masks or images [B, C', H, W]."""
        return self(images, draws), target


class Geometric(Augmentation):
    """An augmentation that moves pixels: masks and image targets move with them."""

    @abstractmethod
    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Any:
        """Draw parameters [B] for images of height and width `size`."""

    @abstractmethod
    def move(self, images: Tensor, parameters: Any, *, nearest: bool, fill: float) -> Tensor:
        """Move the pixels of [B, C, H, W]; `nearest` does not blend, `fill` is what enters."""

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Move the pixels of images [B, C, H, W]; what enters is black."""
        size = images.shape[-2], images.shape[-1]
        return self.move(images, self.draw(draws, size), nearest=False, fill=0.0)

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Move images and targets [B, C', H, W] alike; integer targets (masks) are not blended."""
        parameters = self.draw(draws, (images.shape[-2], images.shape[-1]))
        mask = not target.is_floating_point()
        moved = self.move(target.float(), parameters, nearest=mask, fill=fill)
        return self.move(images, parameters, nearest=False, fill=0.0), moved.to(target.dtype)
