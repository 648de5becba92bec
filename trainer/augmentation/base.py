"""Augmentations: random changes of the images of a batch, each image with its own parameters."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split


class Augmentation(ABC):
    """Changes each image of a batch with random parameters of its own."""

    def prepare(self, split: Split) -> None:
        """Compute statistics of the training split that the augmentation needs, before any call.

        Raises ConfigError for images that the augmentation does not support.
        """

    @abstractmethod
    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augment images [B, C, H, W], float32 in [0, 1], with parameters [B] from `draws`."""

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Augment images [B, C, H, W] together with their target masks or images [B, C', H, W].

        `fill` is the value of the target's pixels from outside.
        """
        return self(images, draws), target


class Geometric(Augmentation):
    """An augmentation that moves pixels: masks and image targets move with them."""

    @abstractmethod
    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Any:
        """Draw parameters [B] for images of height and width `size`."""

    @abstractmethod
    def move(self, images: Tensor, parameters: Any, *, nearest: bool, fill: float) -> Tensor:
        """Move the pixels of [B, C, H, W]; pixels from outside are `fill`.

        `nearest` takes the nearest pixel instead of interpolating.
        """

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Move the pixels of images [B, C, H, W]; pixels from outside are black."""
        size = images.shape[-2], images.shape[-1]
        return self.move(images, self.draw(draws, size), nearest=False, fill=0.0)

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Move images and targets [B, C', H, W] together; integer targets are not interpolated."""
        parameters = self.draw(draws, (images.shape[-2], images.shape[-1]))
        mask = not target.is_floating_point()
        moved = self.move(target.float(), parameters, nearest=mask, fill=fill)
        return self.move(images, parameters, nearest=False, fill=0.0), moved.to(target.dtype)
