"""Saxe et al. 2014 (https://arxiv.org/abs/1312.6120), section 3."""

from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.init.base import Init


class Orthogonal(Init):
    """Rows, or columns where these are fewer, that are orthogonal and as long as `gain`.

    A convolution's weight is taken as the matrix [out, in · kernel].
    """

    def __init__(self, *, gain: float = 1.0, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        within("init.gain", gain, "(0, inf)")
        self.gain = gain

    def fill(self, weight: Tensor) -> None:
        """A random orthogonal matrix times the gain."""
        nn.init.orthogonal_(weight, self.gain)
