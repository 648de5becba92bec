"""Online hard example mining (Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540), one pass.

The whole batch goes forward; only the hardest get a gradient, and the mean is over those.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.core.batch import TARGETS, Batch, only
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, Per, counted, hardest, in_each_image, sums


@dataclass(kw_only=True)
class Ohem(Miner):
    """Keeps the hardest `keep` of the batch, or the examples with p_y below `threshold`.

    At least `min_kept` are kept. With a threshold the ranks are 1 − p_y and `score` does not apply.
    In masks, pixels are selected one by one, and in boxes the detector's anchors or regions: of the
    whole batch, or of each image by itself, which `per: auto` is for boxes. As in the paper, their
    rank is the sum of both losses, of the class and of the box, and positives have no ratio.
    (mmdet's OHEM sampler ranks by the class loss alone, and of `number` elements takes at most
    ⌊number · fraction⌋ positives, the hardest of each kind.)
    """

    targets = TARGETS
    keep: float = 0.5
    min_kept: int = 1
    threshold: float | None = None
    per: Per = "auto"

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
        """Set weight and count to 0 for everything but the hardest."""
        return only(batch, self.mask(ranks, counted(ranks, batch)))

    def mask(self, losses: Tensor, eligible: Tensor | None = None) -> Tensor:
        """Mask of the eligible losses to keep, [B], [B, H, W] or [B, E] like `eligible`.

        With a threshold, pass 1 − p_y in place of losses.
        """
        if eligible is None:
            eligible = torch.ones_like(losses, dtype=torch.bool)
        alone = in_each_image(self.per, losses)
        if self.threshold is not None:
            least = hardest(losses, eligible, self.min_kept, by_image=alone)
            return (losses > 1 - self.threshold) | least
        of = sums(eligible, by_image=alone).double()
        number = (self.keep * of + 0.5).floor().clamp(min=self.min_kept)
        return hardest(losses, eligible, number, by_image=alone)
