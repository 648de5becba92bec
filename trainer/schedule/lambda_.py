"""An arbitrary factor on the initial learning rate; torch's LambdaLR."""

from collections.abc import Callable

from trainer.core.duration import Duration
from trainer.schedule.base import Counter
from trainer.schedule.shared.function import Function


def decay(count: int) -> float:
    """0.95^n, the default factor."""
    return 0.95**count


class Lambda(Counter):
    """lr · λ(n) with n = ⌊t / every⌋. `function` is λ, or its import path."""

    def __init__(self, *, function: str | Callable = decay, every: Duration = "1ep") -> None:
        super().__init__(every)
        self.function = Function(function)

    def prepare(self) -> None:
        """Import λ and call it once. Raises ConfigError if either fails."""
        self.function(0)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.function(self.count(t))
