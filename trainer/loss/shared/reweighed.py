"""Losses whose training values depend on the batch."""

from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.loss.base import Loss


class Reweighed(Loss):
    """Base of the losses with weights that depend on the batch; a training call applies them.

    The runner calls `forward`, the unweighted loss, then `survey` and `reweigh` once it has the
    whole effective batch. In eval mode a call returns `forward`.
    """

    surveyed = False  # whether survey() has been called

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Losses [B] or [B, H, W] of a whole batch of outputs [B, C, ...] and labels [B, ...]."""
        if not self.training:
            return super().__call__(outputs, labels)
        batch = Batch.of(outputs, labels)
        if not self.ignores:
            return self.batch_losses(outputs, batch)
        known = labels != self.ignore_index
        return self.batch_losses(outputs, only(batch, known)).masked_fill(~known, 0.0)

    def require_survey(self) -> None:
        """Raise RuntimeError unless `survey` has been called."""
        if not self.surveyed:
            raise RuntimeError(
                f"{type(self).__name__}.reweigh needs the statistics of the batch: call survey("
                "losses, outputs, batch) first, or batch_losses(outputs, batch), which does both"
            )
