"""Early-learning regularization (Liu et al. 2020, https://arxiv.org/abs/2007.00151).

Cross entropy + λ·log(1 − ⟨p, t⟩). The target t of an example is a running mean of its own
predictions, t ← β·t + (1 − β)·p, from 0 on. A network fits right labels before it memorises wrong
ones; the term holds it to what it predicted then.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.ranges import within
from trainer.core.repeats import last_of_each
from trainer.loss.base import Loss

LEAST = 1e-4  # probabilities are clamped to [LEAST, 1 − LEAST], as in the authors' code


class Elr(Loss):
    """Cross entropy + λ·log(1 − ⟨p, t⟩), t being the running mean of the example's predictions.

    As in the authors' code, https://github.com/shengliu66/ELR, the term is of the targets after
    the update by the same step; no gradient passes through them. They are updated by the images of
    single examples alone. Those of a mixed image, which is nobody's own, are the share-weighted sum
    of its examples' targets. With `accumulate` above 1 the prediction that updates a target is that
    of the scoring pass. `lam` is λ, a reserved word in Python. `score` is the cross entropy.

    `targets_by_id` [M, C] takes 4·M·C bytes on the device and in each checkpoint.
    """

    targets = ("class",)
    batchwise = True
    needs_single = True

    targets_by_id: Tensor | None  # [M, C], 0 at first

    def __init__(self, *, lam: float = 3.0, beta: float = 0.7) -> None:
        super().__init__()
        within("loss.lam", lam, "[0, inf)")
        within("loss.beta", beta, "[0, 1)")
        self.lam = lam
        self.beta = beta
        self.changed: tuple[Tensor, Tensor] | None = None  # ids [B] and their former targets [B, C]
        self.register_buffer("targets_by_id", None)

    def allocate(self, examples: int, classes: int) -> None:
        """Begin with targets of 0 for dataset ids below `examples`."""
        self.targets_by_id = torch.zeros(examples, classes)

    @property
    def table(self) -> Tensor:
        """The targets [M, C]. Raises RuntimeError before `allocate`."""
        if self.targets_by_id is None:
            raise RuntimeError("Elr has no targets yet: first call allocate(examples, classes)")
        return self.targets_by_id

    def __call__(self, outputs: Tensor, labels: Tensor, ids: Tensor | None = None) -> Tensor:
        """Losses [B] of outputs [B, C] for labels [B]; in training mode also of dataset ids [B].

        A call in training mode updates the targets. Raises ValueError if it is given no ids.
        """
        if not self.training:
            return super().__call__(outputs, labels)
        if ids is None:
            raise ValueError("Elr needs its examples' dataset ids: call loss(outputs, labels, ids)")
        return self.batch_losses(outputs, Batch.of(outputs, labels, ids))

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B]."""
        return F.cross_entropy(outputs, labels, reduction="none")

    def survey(self, losses: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Update the targets of the examples that are alone in their image.

        Predictions that are not finite are left out.
        """
        _, ids = batch.dominant()
        p = clamped(outputs.to(self.table.dtype))
        own = (batch.shares.amax(1) == 1) & p.isfinite().all(1)
        last = last_of_each(ids, own)
        before = self.table[ids]
        after = before.lerp((p / p.sum(1, keepdim=True))[last], 1 - self.beta)
        self.changed = ids, before
        self.table[ids] = torch.where(own[last, None], after, before)

    def undo(self, skipped: Tensor) -> None:
        """Restore the targets that the last survey changed."""
        if self.changed is not None:
            ids, before = self.changed
            self.table[ids] = torch.where(skipped, before, self.table[ids])

    def guarded(self) -> list[Tensor]:
        """No buffers: `undo` restores the rows that changed, a step need not copy all targets."""
        return []

    def reweigh(self, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The cross entropies [B] with the term added, whose gradient passes through p alone."""
        targets = (batch.shares[:, :, None] * self.table[batch.index]).sum(1)
        agreement = (clamped(outputs) * targets.to(outputs.dtype)).sum(1)
        return losses + self.lam * torch.log(1 - agreement)


def clamped(outputs: Tensor) -> Tensor:
    """The softmax of outputs [B, C], kept from 0 and 1."""
    return outputs.softmax(1).clamp(LEAST, 1 - LEAST)
