"""Measures of each class of multi-label predictions; NaN where they are undefined."""

import torch
from torch import Tensor


def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """Average precision [C] of scores [N, C] for labels bool [N, C]: Σ (R_n − R_{n−1}) P_n.

    P_n and R_n are precision and recall at the n-th threshold, without interpolation; equal scores
    share a threshold, as in scikit-learn. NaN for a class without an example.
    """
    if not len(scores):
        return scores.new_full(scores.shape[1:], torch.nan, dtype=torch.float64)
    order = scores.argsort(0, descending=True)
    ranked, hit = scores.gather(0, order), labels.gather(0, order)
    rank = torch.arange(len(scores), device=scores.device)[:, None]
    precision = hit.cumsum(0).double() / (rank + 1)
    last = torch.ones_like(hit)
    last[:-1] = ranked[1:] != ranked[:-1]  # of the equal scores
    end = torch.where(last, rank, len(scores)).flip(0).cummin(0).values.flip(0)
    total = (precision.gather(0, end) * hit).sum(0)
    return total / hit.sum(0)  # 0 / 0 is NaN


def counts(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hits, predictions and examples [C] of each class, of logits [N, C], labels bool [N, C]."""
    predicted = logits > 0
    parts = predicted & labels, predicted, labels
    hits, predictions, actual = (part.sum(0).double() for part in parts)
    return hits, predictions, actual


def f1(hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
    """F1 [...], the harmonic mean of precision and recall, 2·hits / (predicted + actual)."""
    return 2 * hits / (predicted + actual)
