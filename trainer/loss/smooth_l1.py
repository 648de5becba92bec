"""Smooth L1 (Girshick 2015, https://arxiv.org/abs/1504.08083, eq. 3): Huber loss over β."""

import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.shared.regression import Regression


class SmoothL1(Regression):
    """½d²/β where |d| < β, else |d| − ½β, d being u − v; the mean over the target's elements.

    Its slope is 1 for large errors; that of `huber` is δ.
    """

    def __init__(self, *, beta: float = 1.0) -> None:
        super().__init__()
        within("loss.beta", beta, "[0, inf)")
        self.beta = beta

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B, ...]."""
        return F.smooth_l1_loss(outputs, targets, reduction="none", beta=self.beta)
