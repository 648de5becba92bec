"""Base of the published policies: operations drawn per image."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.operation import OPERATIONS, SIGNED, magnitudes, operate
from trainer.core.batch import Target
from trainer.core.option import option_of
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.boxes import MIN_VISIBLE

Interpolation = Literal["nearest", "bilinear"]

FOURTEEN = tuple(
    name for name in OPERATIONS if name != "Invert"
)  # of RandAugment and TrivialAugment
IS_SIGNED = torch.tensor([name in SIGNED for name in OPERATIONS])


class Policy(Augmentation):
    """Base of `auto_augment`, `rand_augment`, `trivial_augment` and `augmix`.

    Some of the operations move pixels, and AugMix blends moved images, so targets that are masks,
    images or boxes cannot be moved likewise and raise ValueError.
    """

    targets: ClassVar[tuple[Target, ...]] = ("class", "multilabel", "vector")

    def __init__(self, *, interpolation: Interpolation, fill: float) -> None:
        self.name = option_of(self)
        within(f"augmentation.{self.name}.fill", fill, "[0, 1]")
        self.nearest = interpolation == "nearest"
        self.fill = fill

    def apply(
        self, images: Tensor, operation: Tensor, magnitude: Tensor, negative: Tensor
    ) -> Tensor:
        """Apply operations to images [B, C, H, W]; the other tensors [B] are on the CPU.

        `negative` flips the sign of magnitudes that have one.
        """
        signed = torch.where(IS_SIGNED[operation] & negative, -magnitude, magnitude)
        return operate(images, operation, signed, nearest=self.nearest, fill=self.fill)

    def with_target(
        self, images: Tensor, target: Tensor, draws: ExampleRandom, *, fill: float
    ) -> tuple[Tensor, Tensor]:
        """Raise ValueError: targets cannot be moved with the images."""
        raise ValueError(
            f"augmentation={self.name} moves pixels of images but not of masks or image targets; "
            "use rotate, affine, shift or color_jitter"
        )

    def with_boxes(
        self,
        images: Tensor,
        boxes: Tensor,
        draws: ExampleRandom,
        *,
        min_visible: float = MIN_VISIBLE,
    ) -> tuple[Tensor, Tensor]:
        """Raise ValueError: boxes cannot be moved with the images."""
        raise ValueError(
            f"augmentation={self.name} moves pixels of images but not boxes; use rotate, affine, "
            "shift or color_jitter"
        )


def indices(names: tuple[str, ...]) -> Tensor:
    """The indices [names] of operations in OPERATIONS."""
    return torch.tensor([OPERATIONS.index(name) for name in names])


def standard_magnitudes(bins: int, images: Tensor) -> Tensor:
    """Magnitudes [operations, bins] of AutoAugment and RandAugment for images [B, C, H, W]."""
    height, width = images.shape[-2:]
    shift = 150 / 331 * height, 150 / 331 * width
    return magnitudes(bins, shear=0.3, shift=shift, degrees=30, factor=0.9, bits=(8, 4))
