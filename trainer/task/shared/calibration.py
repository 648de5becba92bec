"""Expected calibration error of predicted probabilities."""

import math

import torch
from torch import Tensor


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) from confidence [N] and correct [N].

    Σ_b n_b/N·|accuracy_b − confidence_b| over `bins` of equal width, [low, high), the last one
    including 1. NaN if a confidence is NaN. https://arxiv.org/abs/1706.04599
    """
    if confidence.isnan().any():
        return math.nan
    at = (confidence.double() * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, at, correct.double() - confidence.double())
    return gap.abs().sum().item() / len(confidence)
