"""A truncated normal distribution, usual for transformers (Dosovitskiy et al. 2021)."""

from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.init.base import Init


class TruncNormal(Init):
    """N(mean, std²) truncated to mean ± `cut` · std.

    Truncation lowers the standard deviation: with cut = 2 it is 0.880 · std.
    """

    def __init__(
        self, *, mean: float = 0.0, std: float = 0.02, cut: float = 2.0, bias: float = 0.0
    ) -> None:
        super().__init__(bias=bias)
        within("init.std", std, "(0, inf)")
        within("init.cut", cut, "(0, inf)")
        self.mean = mean
        self.std = std
        self.cut = cut

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from the truncated normal distribution in place."""
        low, high = self.mean - self.cut * self.std, self.mean + self.cut * self.std
        nn.init.trunc_normal_(weight, self.mean, self.std, low, high)
