"""Focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002), eq. 5: −α_t (1 − p_t)^γ log p_t.

All from logits: log p_t and log(1 − p_t) stay exact where the probabilities are 0 or 1, so that a
confident mistake keeps its gradient, and (1 − p_t)^γ has one for any γ ≥ 0.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss
from trainer.loss.bce import wrong_logits


class Focal(Loss):
    """Cross entropy scaled by α_t (1 − p_t)^γ.

    `softmax`: p_t is the probability of the label; α is one number per class. `sigmoid`: each class
    is a question of its own, α weighs the positives and 1 − α the negatives; the mean is over the
    classes. `auto` is no α for softmax and 0.25 for sigmoid. α is no class weight: the denominator
    counts examples.
    """

    alphas: Tensor | None  # [C] for softmax

    def __init__(
        self,
        *,
        form: Literal["softmax", "sigmoid"] = "softmax",
        gamma: float = 2.0,
        alpha: float | list[float] | Literal["auto"] | None = "auto",
    ) -> None:
        super().__init__()
        within("loss.gamma", gamma, "[0, inf)")
        if alpha == "auto":
            alpha = 0.25 if form == "sigmoid" else None
        if alpha is not None and isinstance(alpha, list) != (form == "softmax"):
            wanted = "a list, one for each class," if form == "softmax" else "one number"
            raise ValueError(f"loss.alpha must be {wanted} with loss.form={form}, got {alpha}")
        if alpha is not None:
            within("loss.alpha", alpha, "[0, inf)" if isinstance(alpha, list) else "[0, 1]")
        per_class = isinstance(alpha, list)
        self.form = form
        self.gamma = gamma
        self.alpha = None if per_class else alpha
        alphas = torch.tensor(alpha) if per_class else None
        self.register_buffer("alphas", alphas, persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Check that a list has one α per class."""
        if self.alphas is not None and len(self.alphas) != len(class_counts):
            given = len(self.alphas)
            raise ValueError(f"loss.alpha has {given} values for {len(class_counts)} classes")

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        return (self.softmax if self.form == "softmax" else self.sigmoid)(outputs, labels)

    def softmax(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The form on the label's probability."""
        log_p = outputs.log_softmax(1)
        log_other = log_p.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
        losses = -self.factor(log_other) * log_p.gather(1, labels[:, None])[:, 0]
        return losses if self.alphas is None else self.alphas[labels] * losses

    def sigmoid(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The one-vs-all form."""
        wrong = wrong_logits(outputs, labels)
        losses = -self.factor(F.logsigmoid(wrong)) * F.logsigmoid(-wrong)
        if self.alpha is not None:
            alpha = torch.full_like(outputs, 1 - self.alpha)
            losses = losses * alpha.scatter_(1, labels[:, None], self.alpha)
        return losses.mean(1)

    def factor(self, log_other: Tensor) -> Tensor:
        """(1 − p_t)^γ from log(1 − p_t)."""
        return (self.gamma * log_other).exp()
