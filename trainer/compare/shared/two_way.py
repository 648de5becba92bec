"""The mean of a table [seeds, examples] as an estimate for other seeds and other examples.

With S seeds and N examples, both drawn at random and crossed, the mean of y[s, n] has the variance

    (MS_seed + MS_example − MS_residual) / (S N),

the mean squares being those of the two-way analysis of variance without repetitions (Searle,
Casella and McCulloch 1992, Variance Components, section 4.7). MS_seed / (S N) alone is the variance
over seeds on these examples. Satterthwaite (1946, https://doi.org/10.2307/3002019) gives the
degrees of freedom: (Σ MS)² / Σ (MS² / df), with the signs of the sum.

Where the examples add little, these exceed the S − 1 of the seeds, and t falls by more than the
standard error rises. What covers more variation must not be narrower, so the larger half is taken
of this interval and of that over seeds (`outer`).
"""

import math
from dataclasses import dataclass

import numpy as np

from trainer.compare.shared.student_t import quantile


@dataclass(frozen=True)
class MeanSquares:
    """Mean, mean squares and size of a table with two seeds and two examples or more."""

    mean: float
    seed: float
    example: float
    residual: float
    seeds: int
    examples: int

    @classmethod
    def of(cls, table: np.ndarray) -> "MeanSquares":
        """Those of a table [S, N]."""
        s, n = table.shape
        mean = float(table.mean(dtype=np.float64))
        by_seed, by_example = (table.mean(axis, dtype=np.float64) for axis in (1, 0))
        seed = n * float(((by_seed - mean) ** 2).sum())
        example = s * float(((by_example - mean) ** 2).sum())
        total = float((table.astype(np.float64) ** 2).sum()) - s * n * mean**2
        residual = max(0.0, total - seed - example) / ((s - 1) * (n - 1))
        return cls(mean, seed / (s - 1), example / (n - 1), residual, s, n)

    @property
    def beyond_seeds(self) -> float:
        """The variance that the choice of the examples adds, at least 0."""
        return max(0.0, self.example - self.residual) / (self.seeds * self.examples)

    @property
    def variance(self) -> float:
        """The variance of the mean for other seeds and examples."""
        return self.seed / (self.seeds * self.examples) + self.beyond_seeds

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom; infinite without variance."""
        total = self.seed + max(0.0, self.example - self.residual)
        s, n = self.seeds - 1, self.examples - 1
        parts = self.seed**2 / s
        if self.example > self.residual:
            parts += self.example**2 / n + self.residual**2 / (s * n)
        return total**2 / parts if parts else math.inf


def bounds(table: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of the mean of a table [S, N] for other seeds and other examples."""
    found = MeanSquares.of(table)
    error = math.sqrt(found.variance)
    half = error and quantile((1 + level) / 2, found.df) * error
    return found.mean - half, found.mean + half


def by_seed(table: np.ndarray) -> np.ndarray:
    """The means [S] of a table [S, N]."""
    return table.mean(1, dtype=np.float64)


def outer(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The lower of two lower ends, and the higher of the higher ones."""
    return min(one[0], other[0]), max(one[1], other[1])
