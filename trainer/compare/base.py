"""Confidence intervals for means over seeds."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from trainer.core.ranges import within

Bounds = tuple[float, float]


class Interval(ABC):
    """A confidence interval that covers the true mean in a share `level` of repetitions.

    `about` names the method in the output. P values always come from a t test: the verdict `within
    noise` must not depend on resampling three numbers.
    """

    about: ClassVar[str]

    def __init__(self, *, level: float = 0.95) -> None:
        within("compare.level", level, "(0, 1)")
        self.level = level

    @abstractmethod
    def mean(self, values: Sequence[float]) -> Bounds:
        """The interval of the mean of at least two values, such as paired differences."""

    @abstractmethod
    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The interval of a difference of means: independent samples, at least two values each."""
