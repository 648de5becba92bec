"""Any factor on the learning rate; torch's LambdaLR."""

from trainer.schedule.base import Counter
from trainer.schedule.shared.function import Function


class Lambda(Counter):
    """lr · λ(n), n = ⌊t / every⌋: a factor on the first rate, not on the last one."""

    def __init__(self, *, function: str, every: str = "1ep") -> None:
        super().__init__(every)
        self.function = Function(function)

    def prepare(self) -> None:
        """Find λ and call it once."""
        self.function(0)

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        return base * self.function(self.count(t))


def decay(count: int) -> float:
    """The factor 0.95^n of `lambda`."""
    return 0.95**count
