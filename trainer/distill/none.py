"""No distillation, the default."""

from torch import Tensor

from trainer.distill.base import Distiller


class NoDistiller(Distiller):
    """Trains on the supervised loss alone, without a teacher."""

    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Return the losses [B, ...] unchanged."""
        return losses
