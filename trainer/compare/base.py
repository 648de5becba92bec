"""How far a mean over seeds may be off."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from trainer.core.ranges import within

Bounds = tuple[float, float]


class Interval(ABC):
    """An interval that holds the true mean in `level` of all repetitions.

    `about` names the method in the output. P values are always those of a t test: `within noise`
    must not hang on resampling three numbers.
    """

    about: ClassVar[str]

    def __init__(self, *, level: float = 0.95) -> None:
        within("compare.level", level, "(0, 1)")
        self.level = level

    @abstractmethod
    def mean(self, values: Sequence[float]) -> Bounds:
        """That of the mean of at least two values; of paired differences too."""

    @abstractmethod
    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """That of the difference of the means of two independent samples of at least two."""
