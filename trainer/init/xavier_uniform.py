"""Glorot and Bengio 2010 (https://proceedings.mlr.press/v9/glorot10a.html), eq. 16."""

from torch import Tensor, nn

from trainer.init.base import Init


class XavierUniform(Init):
    """U(−a, a) with a = √(6 / (fan_in + fan_out))."""

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from U(−a, a), a = √(6 / (fan_in + fan_out)), in place."""
        nn.init.xavier_uniform_(weight)
