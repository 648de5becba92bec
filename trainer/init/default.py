"""torch's own initialisation of each layer."""

from torch import Tensor, nn

from trainer.init.base import Init


class Default(Init):
    """Keeps the weights and biases that the layers were created with."""

    def __init__(self) -> None:
        super().__init__()

    def fill(self, weight: Tensor) -> None:
        """Leave a weight [out, in, ...] unchanged."""

    def __call__(self, model: nn.Module, only: set[str] | None = None) -> None:
        """Leave all weights and biases of the model unchanged."""
