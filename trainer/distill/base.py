"""What a distiller does."""

from abc import ABC, abstractmethod

from torch import Tensor

from trainer.core.forward import Forward
from trainer.dataset import Data


class Distiller(ABC):
    """Blends the supervised losses with a teacher's. Nothing of it is in a checkpoint."""

    def prepare(self, student: Forward, data: Data) -> None:
        """Load what teaches. Raises ValueError where it does not go with the student's data."""

    @abstractmethod
    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] or [B, H, W] to blended ones.

        `images` [B, C, H, W] are what the student saw, standardised and mixed; `outputs` are its
        logits [B, C, ...].
        """
