"""Huber loss (Huber 1964, https://doi.org/10.1214/aoms/1177703732): quadratic, then linear."""

import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.shared.regression import Regression


class Huber(Regression):
    """½d² where |d| < δ, else δ(|d| − ½δ), d being u − v; the mean over the target's elements."""

    def __init__(self, *, delta: float = 1.0) -> None:
        super().__init__()
        within("loss.delta", delta, "(0, inf)")
        self.delta = delta

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B, ...]."""
        return F.huber_loss(outputs, targets, reduction="none", delta=self.delta)
