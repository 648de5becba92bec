"""Ranks the examples of a batch by difficulty, as measured by the miner's `score`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.loss import contract
from trainer.mining.base import Miner
from trainer.task.base import Task


@dataclass(frozen=True)
class Ranker:
    """Computes ranks [B] or [B, H, W], higher for harder, from outputs and losses."""

    task: Task
    miner: Miner

    @torch.no_grad()
    def __call__(self, outputs: Tensor, losses: Tensor, batch: Batch) -> Tensor:
        """Ranks of a batch from its outputs [B, C, ...] and losses [B] or [B, H, W]."""
        if self.miner.score == "loss":
            losses = losses.detach()
            return losses - entropy(batch) if self.miner.rank_by == "excess" else losses
        return contract(lambda labels: self.task.score(self.miner.score, outputs, labels), batch)


def entropy(batch: Batch) -> Tensor:
    """−Σ share·log share over the classes, [B]: the least possible cross entropy of a mixed target.

    Shares of the same class are summed first. Of multi-hot labels, the least possible binary cross
    entropy of the blend, the mean over the classes.
    """
    if batch.labels.dtype == torch.bool:
        blended = torch.einsum("bkc,bk->bc", batch.labels.float(), batch.shares)
        both = torch.stack([blended, 1 - blended]).clamp(min=0)  # shares may sum to 1 + 1e-7
        return torch.special.entr(both).sum(0).mean(1)
    same = (batch.labels[:, :, None] == batch.labels[:, None, :]).float()  # [B, K, K]
    merged = torch.einsum("bkj,bj->bk", same, batch.shares)
    return -torch.xlogy(batch.shares, merged).sum(1)
