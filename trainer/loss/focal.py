"""Focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002), eq. 5: −α_t (1 − p_t)^γ log p_t.

Computed from logits: log p_t and log(1 − p_t) stay exact where the probabilities are 0 or 1, so
that a confident mistake keeps its gradient, and (1 − p_t)^γ is differentiable for any γ ≥ 0.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.core.text import count
from trainer.loss.base import Loss
from trainer.loss.bce import wrong_logits


class Focal(Loss):
    """Cross entropy scaled by α_t (1 − p_t)^γ.

    `softmax`: p_t is the probability of the label and α a list, one number per class. `sigmoid`:
    one binary problem per class, with α for the positives and 1 − α for the negatives; the loss is
    the mean over the classes. Multi-hot labels need `sigmoid`. α `auto` is none for softmax and
    0.25 for sigmoid. Unlike class weights, α does not enter the denominator.
    """

    targets: ClassVar[tuple[str, ...]] = ("class", "mask", "boxes")
    alphas: Tensor | None  # [C] for softmax

    def __init__(
        self,
        *,
        form: Literal["softmax", "sigmoid"] = "softmax",
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Literal["auto"] | None = "auto",
    ) -> None:
        super().__init__()
        within("loss.gamma", gamma, "[0, inf)")
        if alpha == "auto":
            alpha = 0.25 if form == "sigmoid" else None
        per_class = isinstance(alpha, Sequence)
        if alpha is not None and per_class != (form == "softmax"):
            shape = "a list, one for each class," if form == "softmax" else "one number"
            raise ValueError(f"loss.alpha must be {shape} with loss.form={form}, got {alpha}")
        if alpha is not None:
            within("loss.alpha", alpha, "[0, inf)" if per_class else "[0, 1]")
        if form == "sigmoid":
            several = ("class", "multilabel", "mask")
            self.targets = several  # pyright: ignore[reportAttributeAccessIssue]  # this object
        self.form = form
        self.gamma = gamma
        self.alpha = None if per_class else alpha
        alphas = torch.tensor(alpha, dtype=torch.float32) if per_class else None
        self.register_buffer("alphas", alphas, persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Raise ValueError if a list does not have one α for each class of [C]."""
        classes = len(class_counts)
        if self.alphas is not None and len(self.alphas) != classes:
            raise ValueError(
                f"loss.alpha has {count(len(self.alphas), 'value')} for {classes} classes"
            )

    def instead(self, target: str) -> str | None:
        """The sigmoid form for multi-hot labels."""
        return "loss.form=sigmoid" if target == "multilabel" else None

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]; the sigmoid form also [B, C], bool [B, C] → [B]."""
        return (self.softmax if self.form == "softmax" else self.sigmoid)(outputs, labels)

    def softmax(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Focal loss of the label's softmax probability: [B, C], [B] → [B]."""
        log_p = outputs.log_softmax(1)
        log_other = log_p.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
        losses = -self.factor(log_other) * log_p.gather(1, labels[:, None])[:, 0]
        return losses if self.alphas is None else self.alphas[labels] * losses

    def sigmoid(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean focal loss of C binary problems: [B, C], [B] or bool [B, C] → [B]."""
        wrong = wrong_logits(outputs, labels)
        losses = -self.factor(F.logsigmoid(wrong)) * F.logsigmoid(-wrong)
        if self.alpha is not None:
            alpha = torch.full_like(outputs, 1 - self.alpha)
            if labels.dtype == torch.bool:
                alpha.masked_fill_(labels, self.alpha)
            else:
                alpha.scatter_(1, labels[:, None], self.alpha)
            losses = losses * alpha
        return losses.mean(1)

    def factor(self, log_other: Tensor) -> Tensor:
        """(1 − p_t)^γ from log(1 − p_t), elementwise."""
        return (self.gamma * log_other).exp()
