"""Asymmetric loss (Ridnik et al. 2021, https://arxiv.org/abs/2009.14119), eq. 4, 5 and 7.

Most classes are absent from an image. γ₋ above γ₊ keeps the many easy negatives from drowning the
few positives, and the probability margin m drops negatives below it entirely.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.base import Loss

LEAST = 1e-30  # a power of 0 with an exponent below 1 has no finite derivative


class Asymmetric(Loss):
    """Mean over the classes of −y (1 − p)^γ₊ log p − (1 − y) p_m^γ₋ log(1 − p_m).

    p is σ(z) and p_m = max(p − m, 0), m being `clip`. γ₊ = γ₋ with m = 0 is the focal loss without
    α, and 0 for all three binary cross entropy.
    """

    targets: ClassVar[tuple[str, ...]] = ("multilabel",)

    def __init__(
        self, *, gamma_neg: float = 4.0, gamma_pos: float = 0.0, clip: float = 0.05
    ) -> None:
        super().__init__()
        within("loss.gamma_neg", gamma_neg, "[0, inf)")
        within("loss.gamma_pos", gamma_pos, "[0, inf)")
        within("loss.clip", clip, "[0, 1)")
        self.gamma_neg = gamma_neg
        self.gamma_pos = gamma_pos
        self.clip = clip

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], bool [B, C] → [B]."""
        return torch.where(labels, self.positive(outputs), self.negative(outputs)).mean(1)

    def positive(self, outputs: Tensor) -> Tensor:
        """−(1 − p)^γ₊ log p of logits [B, C]."""
        return -(self.gamma_pos * F.logsigmoid(-outputs)).exp() * F.logsigmoid(outputs)

    def negative(self, outputs: Tensor) -> Tensor:
        """−p_m^γ₋ log(1 − p_m) of logits [B, C]."""
        if not self.clip:
            return -(self.gamma_neg * F.logsigmoid(outputs)).exp() * F.logsigmoid(-outputs)
        shifted = (outputs.sigmoid() - self.clip).clamp(min=LEAST)
        return -(shifted**self.gamma_neg) * torch.log1p(-shifted)
