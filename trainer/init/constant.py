"""All weights the same: a symmetry that training never breaks, but by dropout."""

from torch import Tensor, nn

from trainer.init.base import Init


class Constant(Init):
    """Every weight is `value`, so that all units of a layer are the same."""

    def __init__(self, *, value: float = 0.01, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        self.value = value

    def fill(self, weight: Tensor) -> None:
        """`value`."""
        nn.init.constant_(weight, self.value)
