"""What a distiller does."""

from abc import ABC, abstractmethod

from torch import Tensor


class Distiller(ABC):
    """Blends the supervised losses with a teacher's."""

    @abstractmethod
    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] of images [B, C, H, W] and the student's outputs to blended losses [B]."""
