"""A uniform distribution, the same for all layers."""

from torch import Tensor, nn

from trainer.init.base import Init


class Uniform(Init):
    """U(low, high), regardless of a layer's fan."""

    def __init__(self, *, low: float = -0.05, high: float = 0.05, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        if not low < high:
            raise ValueError(f"init.high must be above init.low={low}, got {high}")
        self.low = low
        self.high = high

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from U(low, high) in place."""
        nn.init.uniform_(weight, self.low, self.high)
