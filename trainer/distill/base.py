"""The distiller contract: a teacher's loss blended with the supervised one."""

from abc import ABC, abstractmethod

from torch import Tensor

from trainer.core.forward import Forward
from trainer.dataset import Data


class Distiller(ABC):
    """Blends the supervised losses with a teacher's. It has no state in checkpoints."""

    def prepare(self, student: Forward, data: Data) -> None:
        """Load the teacher. Raises ValueError if it does not fit the student's data."""

    @abstractmethod
    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Blend the supervised losses [B] or [B, H, W] with the teacher's, in the same shape.

        `images` [B, C, H, W] are the student's inputs, standardised and mixed; `outputs` are its
        logits [B, classes, ...].
        """
