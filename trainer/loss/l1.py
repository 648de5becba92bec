"""Mean absolute error, |u − v|."""

import torch.nn.functional as F
from torch import Tensor

from trainer.loss.shared.regression import Regression


class L1(Regression):
    """The mean over the target's elements of |u − v|."""

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B, ...]."""
        return F.l1_loss(outputs, targets, reduction="none")
