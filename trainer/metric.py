"""Comparing metrics by their name: losses and errors are better when low. Calibration error."""

import math
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["min", "max"]
LOW_IS_BETTER = ("loss", "error", "nll", "ece", "brier", "mse", "mae")


def direction(monitor: str) -> Mode:
    """`min` for `val/loss` and its like, `max` for all else."""
    return "min" if monitor.endswith(LOW_IS_BETTER) else "max"


def better(value: float, best: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Whether a value improves on the best by more than `min_delta`. NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best - min_delta if mode == "min" else value > best + min_delta


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) of predictions [N] and their confidence.

    Σ_b n_b/N·|accuracy_b − confidence_b| over `bins` of equal width, [low, high), the last one with
    1; the mean over a bin times its count is its sum. NaN where a confidence is.
    """
    if confidence.isnan().any():
        return math.nan
    at = (confidence.double() * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, at, correct.double() - confidence.double())
    return gap.abs().sum().item() / len(confidence)
