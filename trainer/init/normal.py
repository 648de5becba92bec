"""A normal distribution, the same for all layers (Krizhevsky et al. 2012, section 5)."""

from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.init.base import Init


class Normal(Init):
    """N(mean, std²), regardless of a layer's fan; `std` is the standard deviation."""

    def __init__(self, *, mean: float = 0.0, std: float = 0.01, bias: float = 0.0) -> None:
        super().__init__(bias=bias)
        within("init.std", std, "[0, inf)")
        self.mean = mean
        self.std = std

    def fill(self, weight: Tensor) -> None:
        """Draw a weight [out, in, ...] from N(mean, std²) in place."""
        nn.init.normal_(weight, mean=self.mean, std=self.std)
