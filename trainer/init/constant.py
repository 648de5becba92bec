"""All weights equal: a symmetry that training never breaks, except by dropout."""

from torch import Tensor, nn

from trainer.init.base import Init


class Constant(Init):
    """Sets every weight to `value`, so all units of a layer compute the same."""

    def __init__(self, *, value: float = 0.01, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        self.value = value

    def fill(self, weight: Tensor) -> None:
        """Set a weight [out, in, ...] to `value` in place."""
        nn.init.constant_(weight, self.value)
