"""The library's own initialisation."""

from torch import Tensor, nn

from trainer.init.base import Init


class Default(Init):
    """Leaves weights and biases as the layers made them."""

    def __init__(self) -> None:
        super().__init__()

    def fill(self, weight: Tensor) -> None:
        """Nothing."""

    def __call__(self, model: nn.Module, only: set[str] | None = None) -> None:
        """Nothing, to the biases neither."""
