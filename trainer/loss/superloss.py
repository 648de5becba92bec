"""SuperLoss (Castells, Weinzaepfel, Revaud 2020, NeurIPS): hard examples get less weight.

(ℓ − τ)·σ + λ·(log σ)² at the σ that minimizes it, exp(−W(½·max(−2/e, (ℓ − τ)/λ))), W being
Lambert's function. https://papers.nips.cc/paper/2020/hash/2cfa8f9e50e0f510ede9d12338a5f564-Abstract.html
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.batch import Batch, spread
from trainer.core.ranges import within
from trainer.loss.shared.reweighed import Reweighed


class SuperLoss(Reweighed):
    """Cross entropy ℓ weighted by σ(ℓ), between 0 (hard) and e (easy); no gradient through σ.

    τ separates easy from hard: `log_c`, the loss of a uniform guess, or `mean`, a running mean of
    the batches' mean losses that starts at the first. Each is over the rows that count, by weight.
    `lam` is λ, a reserved word in Python. `score` is the cross entropy.
    """

    mean: Tensor  # [] the running mean
    begun: Tensor  # [] bool, whether `mean` has a value

    def __init__(
        self,
        *,
        tau: Literal["log_c", "mean"] = "log_c",
        lam: float = 1.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        within("loss.lam", lam, "(0, inf)")
        within("loss.momentum", momentum, "[0, 1)")
        self.batchwise = tau == "mean"
        self.tau = tau
        self.lam = lam
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        return F.cross_entropy(outputs, labels, reduction="none")

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Update the running mean of the losses [B] or [B, H, W] of a whole batch."""
        self.surveyed = True
        weight = spread(batch.weight * (batch.count > 0), losses)
        total = weight.expand_as(losses).sum()
        mean = ((weight * losses).sum() / total).to(self.mean.dtype)
        updated = torch.where(self.begun, torch.lerp(mean, self.mean, self.momentum), mean)
        self.mean.copy_(torch.where(total > 0, updated, self.mean))
        self.begun.logical_or_(total > 0)

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The SuperLoss of each of the cross entropies [B]. Raises RuntimeError before `survey`."""
        if self.batchwise:
            self.require_survey()
        tau = math.log(outputs.shape[1]) if self.tau == "log_c" else self.mean
        beta = ((losses.detach() - tau) / self.lam).clamp(min=-2 / math.e)
        w = lambert_w(beta / 2)  # −log σ
        return (losses - tau) * torch.exp(-w) + self.lam * w**2


def lambert_w(z: Tensor) -> Tensor:
    """Lambert's W of z, [B] → [B]: W·e^W = z on the principal branch for z ≥ −1/e, −1 below.

    Solves v·e^v − (e^v − 1) = 1 + e·z for v = W + 1, which loses no digits at the branch point
    z = −1/e, where v is 0. The initial value is √(2(1 + e·z)) to first order there and within 0.5
    of v up to 1e300; three Halley steps are enough (Corless et al. 1996,
    https://doi.org/10.1007/BF02124750).
    """
    right = (1 + math.e * z).clamp(min=0)
    root = (2 * right).sqrt()
    v = torch.log1p(root + right / (1 + 1.25 * root.log1p())).clamp(min=1e-15)
    for _ in range(3):
        slope = v * v.exp()
        step = (slope - v.expm1() - right) / slope
        v = v - step / (1 - step * (1 + v) / (2 * v))
    return v - 1
