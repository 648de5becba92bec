"""Symmetric cross entropy (Wang et al. 2019, https://arxiv.org/abs/1908.06112).

α·CE + β·RCE. The reverse cross entropy −Σ_k p_k log q_k swaps prediction p and label q, and log 0
is taken to be a constant A < 0; with a one-hot label that is −A (1 − p_y). The paper uses A = −4.
Code that clamps the label at 10⁻⁴ has A = −9.2, and so more than twice its β.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss


class Sce(Loss):
    """−α log p_y − β·A·(1 − p_y), p_y being the probability of the label, A `log_zero`.

    Of a mixed image, the share-weighted sum over its labels.
    """

    def __init__(self, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0) -> None:
        super().__init__()
        within("loss.alpha", alpha, "[0, inf)")
        within("loss.beta", beta, "[0, inf)")
        within("loss.log_zero", log_zero, "(-inf, 0)")
        if not alpha and not beta:
            raise ValueError("loss.alpha=0 and loss.beta=0 leave no loss; set one above 0")
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        cross_entropy = F.cross_entropy(outputs, labels, reduction="none")
        wrong = -torch.expm1(-cross_entropy)  # 1 − p_y
        return self.alpha * cross_entropy - self.beta * self.log_zero * wrong
