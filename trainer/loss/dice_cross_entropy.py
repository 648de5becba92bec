"""Soft Dice plus cross entropy, as in nnU-Net.

Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z; the weights are an addition.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.bce import wrong_logits
from trainer.loss.dice import Dice


class DiceCrossEntropy(Dice):
    """w_d·Dice + w_c·(mean cross entropy of the image's pixels), [B].

    Both terms leave out ignored pixels and have the same form: with `sigmoid` the cross entropy is
    that of `bce`, the mean over the classes. `batch` applies to Dice only.
    """

    def __init__(
        self,
        *,
        dice_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        form: Literal["softmax", "sigmoid"] = "softmax",
        smooth: float = 1.0,
        batch: bool = False,
        background: bool = True,
        absent: Literal["count", "skip"] = "count",
    ) -> None:
        super().__init__(
            form=form, smooth=smooth, batch=batch, background=background, absent=absent
        )
        within("loss.dice_weight", dice_weight, "[0, inf)")
        within("loss.cross_entropy_weight", cross_entropy_weight, "[0, inf)")
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C, H, W], [B, H, W] → [B]."""
        cross_entropy = self.cross_entropy(outputs, labels)
        return self.dice_weight * super().score(outputs, labels) + (
            self.cross_entropy_weight * cross_entropy
        )

    def cross_entropy(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean over an image's pixels, [B, C, H, W], [B, H, W] → [B]; 0 if all are ignored."""
        valid = self.valid(labels)
        labels = labels.masked_fill(~valid, 0)
        if self.form == "softmax":
            losses = F.cross_entropy(outputs, labels, reduction="none")
        else:
            losses = -F.logsigmoid(-wrong_logits(outputs, labels)).mean(1)
        return (losses * valid).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)
