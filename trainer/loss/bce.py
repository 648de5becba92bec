"""Sigmoid cross entropy, one binary problem for each class: multi-label or one-vs-all.

Used for single labels by Wightman et al. 2021 (https://arxiv.org/abs/2110.00476), on one-hot
targets, as in timm's `BinaryCrossEntropy`.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.core.text import count
from trainer.loss.base import Loss


class BinaryCrossEntropy(Loss):
    """Mean over the classes of −[w·y log σ(z) + (1 − y) log(1 − σ(z))].

    y is (1 − ε)·onehot + ε / C or, for multi-hot labels, (1 − ε)·multihot + ε / 2. w, the weight of
    the positives, is a number or one per class.
    """

    targets: ClassVar[tuple[str, ...]] = ("class", "multilabel", "mask")

    pos_weight: Tensor

    def __init__(
        self, *, label_smoothing: float = 0.0, pos_weight: float | Sequence[float] = 1.0
    ) -> None:
        super().__init__()
        within("loss.label_smoothing", label_smoothing, "[0, 1]")
        within("loss.pos_weight", pos_weight, "(0, inf)")
        self.label_smoothing = label_smoothing
        self.per_class = not isinstance(pos_weight, (int, float))
        self.register_buffer("pos_weight", torch.tensor(pos_weight).reshape(-1), persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Raise ValueError if a list of weights does not have one for each class of [C]."""
        weights, classes = len(self.pos_weight), len(class_counts)
        if self.per_class and weights != classes:
            raise ValueError(f"loss.pos_weight has {count(weights, 'value')} for {classes} classes")

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] or bool [B, C] → [B]."""
        several = labels.dtype == torch.bool
        low = self.label_smoothing / (2 if several else outputs.shape[1])
        high = 1 - self.label_smoothing + low
        if several:
            targets = torch.full_like(outputs, low).masked_fill_(labels, high)
        else:
            targets = torch.full_like(outputs, low).scatter_(1, labels[:, None], high)
        weight = self.pos_weight.reshape(-1, *[1] * (outputs.ndim - 2))
        return F.binary_cross_entropy_with_logits(
            outputs, targets, pos_weight=weight, reduction="none"
        ).mean(1)


def wrong_logits(outputs: Tensor, labels: Tensor) -> Tensor:
    """Logits of the wrong answer to "is it this class?": −z for the label, z for the others.

    [B, C, ...], [B, ...] or bool [B, C] → [B, C, ...]. With σ of these, |p − y| is σ and the cross
    entropy is −log(1 − σ), both free of cancellation.
    """
    if labels.dtype == torch.bool:
        return torch.where(labels, -outputs, outputs)
    return outputs * torch.ones_like(outputs).scatter_(1, labels[:, None], -1.0)
