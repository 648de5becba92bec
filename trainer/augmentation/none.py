"""No augmentation."""

from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.seed import Draws


class NoAugmentation(Augmentation):
    """Images stay as they are."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """The images themselves."""
        return images
