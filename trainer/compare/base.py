"""The contract of a confidence interval over seeds."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from trainer.core.ranges import within

if TYPE_CHECKING:
    import numpy as np

Bounds = tuple[float, float]


class Interval(ABC):
    """A confidence interval that covers the true mean with probability `level`.

    `about` names the method in the output. The p values are those of the same method: p is 1 −
    `level` of the interval that ends at 0. `test` names them, and `unpaired` the test of samples
    without common seeds.
    """

    about: ClassVar[str]
    test: ClassVar[str]
    unpaired: ClassVar[str]
    fewest = 2  # values with which p can be below 1 − level
    sequential: ClassVar = False  # whether seeds may be added until the answer is clear

    def __init__(self, *, level: float = 0.95) -> None:
        within("compare.level", level, "(0, 1)")
        self.level = level

    def crossed(self, table: "np.ndarray") -> Bounds:
        """The interval of the mean of a table [seeds, examples] for other seeds and examples.

        It is the two-way one, and nowhere narrower than that over the seeds alone.
        """
        from trainer.compare.shared import two_way  # it needs NumPy

        return two_way.outer(
            two_way.bounds(table, self.level), self.mean(two_way.by_seed(table).tolist())
        )

    def needed(self, ratio: float, alpha: float) -> int | None:
        """The values needed to detect a mean of `ratio` deviations, where the method says so."""
        return None

    @abstractmethod
    def mean(self, values: Sequence[float]) -> Bounds:
        """The interval of the mean of two or more values, such as paired differences."""

    @abstractmethod
    def p_mean(self, values: Sequence[float]) -> float:
        """The p value of a mean of 0, from two or more values that vary."""

    @abstractmethod
    def p_difference(self, values: Sequence[float], baseline: Sequence[float]) -> float:
        """The p value of equal means of two independent samples, of which one varies."""

    @abstractmethod
    def difference(self, values: Sequence[float], baseline: Sequence[float]) -> Bounds:
        """The interval of the difference of the means of two independent samples of two or more."""
