"""Generalized cross entropy (Zhang and Sabuncu 2018, sec. 3.2, https://arxiv.org/abs/1805.07836).

L_q = (1 − p_y^q) / q: cross entropy in the limit q → 0, and at q = 1 the mean absolute error,
1 − p_y, without the factor of 2 that ‖p − onehot(y)‖₁ has. Its gradient is p_y^q times that of
cross entropy, so that examples that fit badly, as wrong labels do, count for less.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss


class Gce(Loss):
    """(1 − p_y^q) / q, p_y being the probability of the label; −log p_y for q = 0.

    Computed from log p_y as −expm1(q·log p_y) / q: p_y^q itself has no finite derivative at p_y = 0
    and loses all digits of 1 − p_y^q for a small q.
    """

    def __init__(self, *, q: float = 0.7) -> None:
        super().__init__()
        within("loss.q", q, "[0, 1]")
        self.q = q

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        cross_entropy = F.cross_entropy(outputs, labels, reduction="none")
        if self.q == 0:
            return cross_entropy
        return -torch.expm1(-self.q * cross_entropy) / self.q
