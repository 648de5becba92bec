"""Logit-adjusted cross entropy (Menon et al. 2021, https://arxiv.org/abs/2007.07314).

Adding the log priors of the training split during training makes the logits themselves fit a
balanced test set; predictions are made without the priors.
"""

import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss


class LogitAdjusted(Loss):
    """Cross entropy of z + τ·log π in training mode, and of z in eval mode.

    π are the class frequencies of the training split. A class without examples counts as having
    one, since log 0 would make its losses infinite.
    """

    adjustment: Tensor | None  # [C] τ·log π; set by prepare()

    def __init__(self, *, tau: float = 1.0) -> None:
        super().__init__()
        within("loss.tau", tau, "[0, inf)")
        self.tau = tau
        self.register_buffer("adjustment", None, persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Compute the priors from the number of training examples of each class [C]."""
        counts = class_counts.double().clamp(min=1)
        self.adjustment = (self.tau * (counts / counts.sum()).log()).float()

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]. Raises RuntimeError in training mode before `prepare`."""
        if self.training:
            adjustment = self.adjustment
            if adjustment is None:
                raise self.unprepared("class priors")
            outputs = outputs + adjustment.reshape(-1, *[1] * (outputs.ndim - 2))
        return F.cross_entropy(outputs, labels, reduction="none")
