"""No augmentation."""

from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.core.seed import ExampleRandom


class NoAugmentation(Augmentation):
    """Leaves all images and targets unchanged."""

    inputs = ("image", "text")

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Return images [B, C, H, W] unchanged."""
        return images
