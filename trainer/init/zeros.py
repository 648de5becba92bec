"""All weights zero: the failure every course warns of, here to be seen."""

from torch import Tensor

from trainer.init.base import Init


class Zeros(Init):
    """All units of a layer stay the same: the symmetry is never broken."""

    def fill(self, weight: Tensor) -> None:
        """Zero."""
        weight.zero_()
