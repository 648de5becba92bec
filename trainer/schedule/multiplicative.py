"""An arbitrary factor on the previous learning rate; torch's MultiplicativeLR."""

from collections.abc import Callable

from trainer.core.duration import Duration
from trainer.schedule.base import Counter
from trainer.schedule.shared.function import Function


def shrink(_count: int) -> float:
    """0.95 at each n, the default factor."""
    return 0.95


class Multiplicative(Counter):
    """lr · λ(1)·λ(2)·…·λ(n) with n = ⌊t / every⌋.

    `function` is λ, or its import path; it must be pure, as its values are cached.
    """

    def __init__(self, *, function: str | Callable = shrink, every: Duration = "1ep") -> None:
        super().__init__(every)
        self.function = Function(function)
        self.products = [1.0]  # by n; recomputed when a run resumes

    def prepare(self) -> None:
        """Import λ and call it once. Raises ConfigError if either fails."""
        self.function(1)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        n = self.count(t)
        while len(self.products) <= n:
            self.products.append(self.products[-1] * self.function(len(self.products)))
        return base * self.products[n]
