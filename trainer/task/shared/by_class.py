"""Precision, recall and F1 of each class; NaN where they are undefined."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ByClass:
    """Measures [C] of predicted classes.

    A class without examples has no recall, one that is never predicted no precision, and one that
    is neither no F1.
    """

    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor  # examples of the class

    @classmethod
    def of(cls, confusion: Tensor) -> "ByClass":
        """The measures of a confusion matrix [C, C], by label (rows) and prediction (columns)."""
        counts = confusion.double()
        hits, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        f1 = 2 * hits / (actual + predicted)
        return cls(hits / predicted, hits / actual, f1, confusion.sum(1))  # 0 / 0 is NaN
