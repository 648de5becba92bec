"""All weights zero: the classic mistake, for demonstration."""

from torch import Tensor

from trainer.init.base import Init


class Zeros(Init):
    """Sets every weight to 0, so the units of a layer stay identical."""

    def fill(self, weight: Tensor) -> None:
        """Set a weight [out, in, ...] to 0 in place."""
        weight.zero_()
