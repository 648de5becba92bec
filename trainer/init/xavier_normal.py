"""Glorot and Bengio 2010 (https://proceedings.mlr.press/v9/glorot10a.html), eq. 12."""

from torch import Tensor, nn

from trainer.init.base import Init


class XavierNormal(Init):
    """N(0, 2 / (fan_in + fan_out)); that is the variance, not the deviation."""

    def fill(self, weight: Tensor) -> None:
        """Normal with deviation √(2 / (fan_in + fan_out))."""
        nn.init.xavier_normal_(weight)
