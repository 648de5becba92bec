"""Glorot and Bengio 2010 (https://proceedings.mlr.press/v9/glorot10a.html), eq. 12."""

from torch import Tensor, nn

from trainer.init.base import Init


class XavierNormal(Init):
    """N(0, 2 / (fan_in + fan_out)), the second argument being the variance."""

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from N(0, 2 / (fan_in + fan_out)) in place."""
        nn.init.xavier_normal_(weight)
