"""Ranks: how hard each example of a batch is, by the miner's `score`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.batch import Batch
from trainer.loss import contract
from trainer.mining.base import Miner
from trainer.task.base import Task


@dataclass(frozen=True)
class Ranker:
    """Turns outputs and losses into ranks [B] or [B, H, W], higher for harder."""

    task: Task
    miner: Miner

    @torch.no_grad()
    def __call__(self, outputs: Tensor, losses: Tensor, batch: Batch) -> Tensor:
        """Ranks of a batch from its outputs [B, C, ...] and losses [B] or [B, H, W]."""
        if self.miner.score == "loss":
            losses = losses.detach()
            return losses - entropy(batch.shares) if self.miner.rank_by == "excess" else losses
        return contract(lambda labels: self.task.score(self.miner.score, outputs, labels), batch)


def entropy(shares: Tensor) -> Tensor:
    """−Σ share log share: the least cross entropy a mixed target [B, K] allows."""
    return torch.special.entr(shares).sum(1)
