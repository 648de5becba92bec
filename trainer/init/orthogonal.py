"""Saxe et al. 2014 (https://arxiv.org/abs/1312.6120), section 3."""

from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.init.base import Init


class Orthogonal(Init):
    """Orthogonal rows of length `gain`; orthogonal columns if there are fewer of them.

    The weight of a convolution is viewed as a matrix [out, in · kernel].
    """

    def __init__(self, *, gain: float = 1.0, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        within("init.gain", gain, "(0, inf)")
        self.gain = gain

    def fill(self, weight: Tensor) -> None:
        """Fill a weight [out, in, ...] with `gain` times a random orthogonal matrix in place."""
        nn.init.orthogonal_(weight, self.gain)
