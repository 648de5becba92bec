"""Gradient harmonizing mechanism, GHM-C (Li, Liu, Wang 2019, https://arxiv.org/abs/1811.05181).

With one sigmoid per class, g = |p − y| is the size of the gradient on that logit. An element (an
example and a class) has the weight total / (elements in its bin of g) / (non-empty bins), as in the
authors' code, https://github.com/libuyu/GHM_Detection.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.batch import Batch, contract, spread
from trainer.core.ranges import within
from trainer.loss.bce import wrong_logits
from trainer.loss.shared.reweighed import Reweighed


class Ghm(Reweighed):
    """Sigmoid cross entropy, down-weighted where gradients are common; mean over the classes.

    Elements are counted over the whole effective batch, each by the weight of its row: dropped rows
    (weight 0) do not count, a row with weight 2 counts twice. A mixed image counts as K labelled
    images, each weighted by its share.

    With `momentum` a bin's count is a running mean of its share of the batch's total, over the
    batches in which it was not empty. It starts at its first value; the authors' code starts at 0,
    which makes its first weights 1 / (1 − momentum) times too large. `score` is the unweighted
    loss.
    """

    batchwise = True
    density: Tensor  # [bins] running share of the elements; 0: empty so far
    weights: Tensor  # [bins] for the elements of the surveyed batch

    def __init__(self, *, bins: int = 10, momentum: float = 0.0) -> None:
        super().__init__()
        within("loss.bins", bins, "[1, inf)")
        within("loss.momentum", momentum, "[0, 1)")
        self.bins = bins
        self.momentum = momentum
        self.register_buffer("density", torch.zeros(bins))
        self.register_buffer("weights", torch.ones(bins), persistent=False)

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        return -F.logsigmoid(-wrong_logits(outputs, labels)).mean(1)

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Count the elements in each bin of the whole batch and set the weights of the bins."""
        self.surveyed = True
        counts = self.counts(outputs, batch)
        filled, density = counts > 0, counts / counts.sum()
        smooth = torch.lerp(density, self.density, self.momentum)
        density = torch.where(self.density > 0, smooth, density)
        self.density.copy_(torch.where(filled, density, self.density))
        known = self.density > 0
        weights = torch.where(known, 1 / self.density, 0) / filled.sum()
        # A training pass may fill a bin that the scoring pass (no dropout) left empty.
        weights = torch.where(known, weights, weights.max())
        self.weights.copy_(torch.where(filled.any(), weights, self.weights))

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """Losses [B] with the weights of the survey, which carry no gradient."""
        self.require_survey()
        return contract(lambda labels: self.weighted(outputs, self.fill_ignored(labels)), batch)

    def weighted(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Losses with the weights of their bins: [B, C], [B] → [B]."""
        wrong = wrong_logits(outputs, labels)
        return -(self.weights[self.bin(wrong)] * F.logsigmoid(-wrong)).mean(1)

    def counts(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The number of elements in each bin [bins], weighted by row."""
        rows = contract(lambda labels: self.bin_counts(outputs, self.fill_ignored(labels)), batch)
        weight = spread(batch.weight[:, None], rows)
        return (weight * rows).transpose(0, 1).flatten(1).sum(1)

    def bin_counts(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The number of a row's classes in each bin: [B, C, ...], [B, ...] → [B, bins, ...]."""
        bins = self.bin(wrong_logits(outputs, labels))
        rows = torch.zeros(len(bins), self.bins, *bins.shape[2:], device=bins.device)
        return rows.scatter_add_(1, bins, torch.ones_like(bins, dtype=rows.dtype))

    def bin(self, wrong: Tensor) -> Tensor:
        """The bin of g = σ(wrong) of each element [B, C, ...]; the last bin includes g = 1."""
        return (wrong.detach().sigmoid() * self.bins).long().clamp_(0, self.bins - 1)
