"""Expected calibration error."""

import math

import torch
from torch import Tensor


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
