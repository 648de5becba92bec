"""Measures of each class of multi-label predictions; NaN where they are undefined."""

from torch import Tensor


def counts(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hits, predictions and examples [C] of each class, of logits [N, C], labels bool [N, C]."""
    predicted = logits > 0
    parts = predicted & labels, predicted, labels
    hits, predictions, actual = (part.sum(0).double() for part in parts)
    return hits, predictions, actual


def f1(hits: Tensor, predicted: Tensor, actual: Tensor) -> Tensor:
    """F1 [...], the harmonic mean of precision and recall, 2·hits / (predicted + actual)."""
    return 2 * hits / (predicted + actual)
