"""The contract of a confidence interval over seeds."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from trainer.core.ranges import within

Bounds = tuple[float, float]


class Interval(ABC):
    """A confidence interval that covers the true mean with probability `level`.

    `about` names the method in the output. P values always come from a t test: the verdict `within
    noise` must not depend on resampling three numbers.
    """

    about: ClassVar[str]

    def __init__(self, *, level: float = 0.95) -> None:
        within("compare.level", level, "(0, 1)")
        self.level = level

    @abstractmethod
    def mean(self, values: Sequence[float]) -> Bounds:
        """The interval of the mean of two or more values, such as paired differences."""

    @abstractmethod
    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The interval of the difference of the means of two independent samples of two or more."""
