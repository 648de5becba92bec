"""Mean squared error, (u − v)²."""

import torch.nn.functional as F
from torch import Tensor

from trainer.loss.shared.regression import Regression


class MeanSquaredError(Regression):
    """The mean over the target's elements of (u − v)², without a factor ½."""

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B, ...]."""
        return F.mse_loss(outputs, targets, reduction="none")
