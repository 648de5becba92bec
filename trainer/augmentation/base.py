"""What an augmentation does."""

from abc import ABC, abstractmethod

from torch import Tensor

from trainer.seed import Draws


class Augmentation(ABC):
    """Changes each image of a batch by parameters of its own."""

    @abstractmethod
    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """[B, C, H, W] float32 in [0, 1] to the same; parameters [B] come from `draws`."""
