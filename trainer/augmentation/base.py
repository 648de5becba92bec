"""Augmentations: random changes of the inputs of a batch, each with its own parameters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from trainer.augmentation.shared.kernel.boxes import kept
from trainer.core.batch import TARGETS, Input, Target, target_kind
from trainer.core.option import option_of
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.boxes import MIN_VISIBLE
from trainer.dataset.shared.split import Split
from trainer.dataset.shared.windows import Window


class Augmentation(ABC):
    """Changes each image, or text, of a batch with random parameters of its own."""

    inputs: ClassVar[tuple[Input, ...]] = ("image",)  # kinds of input it changes
    targets: ClassVar[tuple[Target, ...]] = TARGETS  # the types of label it supports

    def words(self, vocabulary: Sequence[str]) -> tuple[str, ...]:
        """The words it writes that a vocabulary lacks; they are added to it, before `prepare`."""
        return ()

    def prepare(self, split: Split) -> None:
        """Compute statistics of the training split that the augmentation needs, before any call.

        Raises ConfigError for images that the augmentation does not support.
        """

    @abstractmethod
    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augment images [B, C, H, W], float32 in [0, 1], with parameters [B] from `draws`.

        Texts are word ids int32 [B, L].
        """

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Augment images [B, C, H, W] together with their target masks or images [B, C', H, W].

        `fill` is the value of the target's pixels from outside.
        """
        return self(images, draws), target

    def with_boxes(
        self,
        images: Tensor,
        boxes: Tensor,
        draws: ExampleRandom,
        *,
        min_visible: float = MIN_VISIBLE,
    ) -> tuple[Tensor, Tensor]:
        """Augment images [B, C, H, W] together with their boxes [B, N, 5].

        A box of which less than the fraction `min_visible` stays in the image counts nothing.
        """
        return self(images, draws), boxes

    def with_labels(
        self,
        images: Tensor,
        labels: Tensor,
        draws: ExampleRandom,
        *,
        fill: float = 0.0,
        min_visible: float = MIN_VISIBLE,
    ) -> tuple[Tensor, Tensor]:
        """Augment images [B, C, H, W] together with labels [B, K, ...] of any kind.

        Those that have places in the image move with its pixels, and K is 1.
        """
        kind = target_kind(labels[:, 0])
        if kind == "boxes":
            images, boxes = self.with_boxes(images, labels[:, 0], draws, min_visible=min_visible)
            return images, boxes[:, None]
        if kind in ("mask", "image"):
            target = labels.flatten(1, -3)  # [B, 1 or C, H, W]
            images, target = self.with_target(images, target, draws, fill=fill)
            return images, target.view_as(labels)
        return self(images, draws), labels


class Geometric(Augmentation):
    """An augmentation that moves pixels: masks, image targets and boxes move with them.

    It may cut out images of another `size`, height and width; None is that of its input.
    """

    size: tuple[int, int] | None = None

    @abstractmethod
    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Any:
        """Draw parameters [B] for images of height and width `size`."""

    @abstractmethod
    def move(self, images: Tensor, parameters: Any, *, nearest: bool, fill: float) -> Tensor:
        """Move the pixels of [B, C, H, W]; pixels from outside are `fill`.

        `nearest` takes the nearest pixel instead of interpolating.
        """

    def windows(self, draws: ExampleRandom, height: Tensor, width: Tensor) -> list[Window]:
        """Draw the pieces of `size` that are cut out of images of heights and widths [B].

        A loader does so where images are stored uncut. Raises ValueError where the augmentation
        cannot.
        """
        raise ValueError(
            f"augmentation={option_of(self)} does not cut pieces out of images stored uncut; put "
            "it after random_resized_crop, random_crop or scale_jitter, or take dataset.fit=cover"
        )

    def move_boxes(self, edges: Tensor, parameters: Any, size: tuple[int, int]) -> Tensor:
        """Move edges [B, N, 4] of boxes, x0, y0, x1, y1, as `move` moves the pixels.

        They may end up outside the image, of height and width `size`. Raises ValueError where the
        augmentation cannot.
        """
        raise ValueError(f"augmentation={option_of(self)} does not move boxes; take it out")

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

    def with_boxes(
        self,
        images: Tensor,
        boxes: Tensor,
        draws: ExampleRandom,
        *,
        min_visible: float = MIN_VISIBLE,
    ) -> tuple[Tensor, Tensor]:
        """Move images and boxes [B, N, 5] together."""
        size = images.shape[-2], images.shape[-1]
        parameters = self.draw(draws, size)
        edges = self.move_boxes(boxes[..., 1:], parameters, size)
        moved = self.move(images, parameters, nearest=False, fill=0.0)
        return moved, kept(boxes, edges, self.size or size, min_visible)


def output_of(augmentation: Geometric) -> tuple[int, int]:
    """Height and width of the pieces it cuts out. Raises ValueError without a `size`."""
    if augmentation.size is None:
        raise ValueError(f"augmentation.{option_of(augmentation)}.size is not set")
    return augmentation.size
