"""No augmentation."""

from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.core.seed import ExampleRandom


class NoAugmentation(Augmentation):
    """Images stay as they are."""

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """The images themselves."""
        return images
