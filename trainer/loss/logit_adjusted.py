"""Logit-adjusted cross entropy (Menon et al. 2021, https://arxiv.org/abs/2007.07314).

With the priors π of the training split added while training, the logits that are left learn what
a balanced test set asks for, so predictions are made without them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss


class LogitAdjusted(Loss):
    """Cross entropy of z + τ·log π in training mode, of z itself in eval mode.

    An absent class counts as one example: log 0 would make each of its losses infinite.
    """

    adjustment: Tensor  # [C] τ·log π; 0 until prepare()

    def __init__(self, *, tau: float = 1.0) -> None:
        super().__init__()
        within("loss.tau", tau, "[0, inf)")
        self.tau = tau
        self.register_buffer("adjustment", torch.zeros(1), persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Take the priors from the examples of each class [C]."""
        counts = class_counts.double().clamp(min=1)
        self.adjustment = (self.tau * (counts / counts.sum()).log()).float()

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        if self.training:
            outputs = outputs + self.adjustment.reshape(-1, *[1] * (outputs.ndim - 2))
        return F.cross_entropy(outputs, labels, reduction="none")
