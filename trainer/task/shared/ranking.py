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


def average_precision(scores: Tensor, positive: Tensor) -> float:
    """Average precision Σ (R_n − R_{n−1}) P_n over the thresholds n, without interpolation.

    Equal scores share a threshold. `scores` are [N], `positive` is bool [N]; NaN without positives.
    """
    ranked, order = scores.sort(descending=True)
    hits = positive[order].cumsum(0).double()
    last = torch.ones_like(positive)
    last[:-1] = ranked[1:] != ranked[:-1]  # of those with equal scores
    hits, number = hits[last], torch.arange(1, len(scores) + 1)[last]
    gained = hits.diff(prepend=hits.new_zeros(1))
    return ((gained * hits / number).sum() / positive.sum()).item()
