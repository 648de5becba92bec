"""Comparing values of a metric: its name says whether low or high is better."""

import math
from typing import Literal

Mode = Literal["min", "max"]
LOW_IS_BETTER = ("loss", "error", "nll", "ece", "brier", "mse", "mae")


def direction(monitor: str) -> Mode:
    """Return `min` for losses and errors, such as `val/loss`, and `max` for all else."""
    return "min" if monitor.endswith(LOW_IS_BETTER) else "max"


def better(value: float, best: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Return whether `value` improves on `best` by more than `min_delta`; NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best - min_delta if mode == "min" else value > best + min_delta
