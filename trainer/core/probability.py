"""Averaging predictions: ensembles and test-time augmentation take the mean probability."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def log_mean(log_p: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean probability [N, C, ...], from log probabilities [N, C, ...]."""
    return torch.stack(list(log_p)).logsumexp(0) - math.log(len(log_p))


def mean_outputs(outputs: Sequence[Tensor], *, several: bool) -> Tensor:
    """Return the outputs [N, C, ...] whose probabilities are the mean of those of the outputs.

    By softmax: the log of the mean. With `several` labels an example, by sigmoid: the logit of the
    mean, log Σ σ(z) − log Σ σ(−z).
    """
    if not several:
        return log_mean([one.log_softmax(1) for one in outputs])
    present, absent = (log_mean([F.logsigmoid(s * one) for one in outputs]) for s in (1, -1))
    return present - absent
