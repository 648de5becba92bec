"""Random elements with a given part of positives (Ren et al. 2015, https://arxiv.org/abs/1506.01497).

Sec. 3.1.3 samples anchors so, and Fast R-CNN its regions (Girshick 2015,
https://arxiv.org/abs/1504.08083, sec. 2.3): the control for hard examples among boxes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mining.base import Miner, hardest
from trainer.mining.shared.drawn import drawn


@dataclass(kw_only=True)
class Balanced(Miner):
    """Keeps `number` random elements of each image, at most `positive_fraction` of them positives.

    Where positives run out, negatives take their places; where those run out, fewer are kept. The
    rule is torchvision's.
    """

    targets = ("boxes",)

    number: int = 512
    positive_fraction: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.number", self.number, "[1, inf)")
        within("mining.positive_fraction", self.positive_fraction, "[0, 1]")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The elements [B, E] drawn; the others lose weight and count."""
        draws = drawn(batch, step_id)
        return only(batch, self.mask(draws, batch.labels[:, 0], batch.eligible))

    def mask(self, draws: Tensor, labels: Tensor, eligible: Tensor) -> Tensor:
        """Mask [B, E] of what is kept: the eligible with the highest draws [B, E] of each kind."""
        most = int(self.number * self.positive_fraction)
        positive = hardest(draws, (labels > 0) & eligible, most, by_image=True)
        rest = self.number - positive.sum(1)
        return positive | hardest(draws, (labels == 0) & eligible, rest, by_image=True)
