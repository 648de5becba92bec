"""Averaging predictions: ensembles and test-time augmentation take the mean probability."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def log_mean(log_p: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean probability [N, C, ...], from log probabilities [N, C, ...]."""
    return torch.stack(list(log_p)).logsumexp(0) - math.log(len(log_p))
