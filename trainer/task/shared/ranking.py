"""How well scores rank the examples of a class above the others: AUROC and average precision."""

import math

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve: the probability that a positive scores above a negative.

    Equal scores count one half. `scores` are [N], `positive` is bool [N]; NaN without examples of
    either kind.
    """
    hits, misses = scores[positive].sort().values, scores[~positive]
    pairs = len(hits) * len(misses)
    if not pairs:
        return math.nan
    below, not_above = (torch.searchsorted(hits, misses, right=right) for right in (False, True))
    return 1 - (below.sum().item() + not_above.sum().item()) / (2 * pairs)


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """Average precision Σ (R_n − R_{n−1}) P_n over the thresholds n, a number for each column.

    P_n and R_n are precision and recall at the n-th threshold, without interpolation; equal scores
    share a threshold, as in scikit-learn. `scores` are [N] or [N, C], `positive` is bool of the
    same shape. NaN for a column without positives.
    """
    if not len(scores):
        return scores.new_full(scores.shape[1:], torch.nan, dtype=torch.float64)
    order = scores.argsort(0, descending=True)
    ranked, hit = scores.gather(0, order), positive.gather(0, order)
    rank = torch.arange(len(scores), device=scores.device).view(-1, *[1] * (scores.ndim - 1))
    precision = hit.cumsum(0).double() / (rank + 1)
    last = torch.ones_like(hit)
    last[:-1] = ranked[1:] != ranked[:-1]  # of the equal scores
    end = torch.where(last, rank, len(scores)).flip(0).cummin(0).values.flip(0)
    return (precision.gather(0, end) * hit).sum(0) / hit.sum(0)  # 0 / 0 is NaN
