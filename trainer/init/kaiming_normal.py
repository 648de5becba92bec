"""He et al. 2015 (https://arxiv.org/abs/1502.01852), eq. 10."""

from torch import Tensor, nn

from trainer.init.base import Init


class KaimingNormal(Init):
    """N(0, 2 / fan_in), the second argument being the variance."""

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from N(0, 2 / fan_in) in place."""
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")
