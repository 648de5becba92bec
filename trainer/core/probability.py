"""Several predictions as one: the mean of their probabilities."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def log_mean(log_p: Sequence[Tensor]) -> Tensor:
    """Log of the mean of probabilities that are given as logs, each [N, C, ...]."""
    return torch.stack(list(log_p)).logsumexp(0) - math.log(len(log_p))
