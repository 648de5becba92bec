"""Any factor on the learning rate before; torch's MultiplicativeLR."""

from trainer.schedule.base import Counter
from trainer.schedule.shared.function import Function


class Multiplicative(Counter):
    """lr · λ(1)·λ(2)·…·λ(n), n = ⌊t / every⌋. The function must return the same each time."""

    def __init__(self, *, function: str, every: str = "1ep") -> None:
        super().__init__(every)
        self.function = Function(function)
        self.products = [1.0]  # by n; a resumed run computes them again

    def prepare(self) -> None:
        """Find λ and call it once."""
        self.function(1)

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        n = self.count(t)
        while len(self.products) <= n:
            self.products.append(self.products[-1] * self.function(len(self.products)))
        return base * self.products[n]


def shrink(_count: int) -> float:
    """The factor 0.95 of `multiplicative`, at each n."""
    return 0.95
