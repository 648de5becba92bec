"""How the benchmarks write what they measured."""

import statistics
from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float], form: str) -> str:
    """Median, and lowest to highest."""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def quartiles(values: np.ndarray | list[float], form: str) -> str:
    """Median and quartiles."""
    low, middle, high = (format(v, form) for v in np.percentile(values, [25, 50, 75]))
    return f"{middle} [{low}, {high}]"
