"""Online hard example mining (Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540), one pass.

The whole batch goes forward; the hardest alone get the gradient, and the mean is over the kept.
"""

from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, counted, hardest


@dataclass(kw_only=True)
class Ohem(Miner):
    """Keeps the hardest `keep` of the batch, or all whose p_y is below `threshold`.

    Under a threshold at least `min_kept` are kept, and ranks are 1 − p_y whatever `score` says.
    For masks the elements are pixels.
    """

    keep: float = 0.5
    min_kept: int = 1
    threshold: float | None = None

    pooled = True
    per_pixel = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")
        within("mining.min_kept", self.min_kept, "[1, inf)")
        if self.threshold is not None:
            within("mining.threshold", self.threshold, "(0, 1]")
            self.score = "confidence"

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Weight and count 0 for the dropped."""
        counts = counted(ranks, batch)
        if self.threshold is not None:
            return only(batch, (ranks > 1 - self.threshold) | hardest(ranks, counts, self.min_kept))
        number = (self.keep * counts.sum().double() + 0.5).floor().clamp(min=self.min_kept)
        return only(batch, hardest(ranks, counts, number))
