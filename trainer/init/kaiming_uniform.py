"""He et al. 2015 (https://arxiv.org/abs/1502.01852), eq. 10, as a uniform distribution."""

from torch import Tensor, nn

from trainer.init.base import Init


class KaimingUniform(Init):
    """U(−a, a) with a = √(6 / fan_in), whose variance is 2 / fan_in."""

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from U(−√(6 / fan_in), √(6 / fan_in)) in place."""
        nn.init.kaiming_uniform_(weight, mode="fan_in", nonlinearity="relu")
