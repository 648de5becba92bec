"""Poly-1 (Leng et al. 2022, https://arxiv.org/abs/2204.12511), the first polynomial term changed.

−log p_y = Σ_j (1 − p_y)^j / j; Poly-1 adds ε to the factor of (1 − p_y).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss


class Poly1(Loss):
    """Cross entropy + ε·(1 − p_y). Below ε = −1 it would rise as p_y nears 1."""

    def __init__(self, *, epsilon: float = 1.0) -> None:
        super().__init__()
        within("loss.epsilon", epsilon, "[-1, inf)")
        self.epsilon = epsilon

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        cross_entropy = F.cross_entropy(outputs, labels, reduction="none")
        return cross_entropy - self.epsilon * torch.expm1(-cross_entropy)
