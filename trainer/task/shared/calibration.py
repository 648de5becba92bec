"""Expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""

import math

import torch
from torch import Tensor


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Expected calibration error, eq. 3, from confidence [N] and correct [N].

    Σ_b n_b/N·|accuracy_b − confidence_b| over `bins` of equal width, [low, high), the last one
    including 1. NaN if a confidence is NaN.
    """
    if confidence.isnan().any():
        return math.nan
    index = (confidence.double() * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, index, correct.double() - confidence.double())
    return gap.abs().sum().item() / len(confidence)
