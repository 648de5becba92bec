"""Repeated augmentation: several augmentations of an example in the same batch.

Hoffer et al. 2019, https://arxiv.org/abs/1901.09335; at unchanged epoch length, Berman et al. 2019
(MultiGrain), https://arxiv.org/abs/1902.05509.
"""

import numpy as np
import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.sampler.base import Sampler


class RepeatedAugmentation(Sampler):
    """Draws n / `repeats` examples per epoch, each in `repeats` consecutive rows.

    Repeats are augmented independently, since random numbers depend on the row's position in the
    epoch. The epoch keeps its n rows; if `repeats` does not divide n, the last example has fewer.
    """

    def __init__(self, *, repeats: int = 3) -> None:
        within("sampler.repeats", repeats, "[1, inf)")
        self.repeats = repeats

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [n], the repeats of an example next to each other."""
        chosen = rng.permutation(len(split))[: -(-len(split) // self.repeats)]
        ids = split.ids.index_select(0, torch.from_numpy(chosen))
        return ids.repeat_interleave(self.repeats)[: len(split)], None
