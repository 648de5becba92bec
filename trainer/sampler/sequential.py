"""Every example once, in dataset order."""

import numpy as np
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler


class Sequential(Sampler):
    """The same order each epoch."""

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """All ids of the split, ascending."""
        return split.ids, None
