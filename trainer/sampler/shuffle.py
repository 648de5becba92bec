"""Every example once, in random order."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler


class Shuffle(Sampler):
    """Draws a new permutation each epoch."""

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """All ids [n] of the split, permuted."""
        return torch.from_numpy(rng.permutation(split.ids.numpy())), None
