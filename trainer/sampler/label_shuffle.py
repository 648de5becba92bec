"""Label shuffling (Hikvision's scene classification at ILSVRC 2016): exactly balanced."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class, shuffled


class LabelShuffle(Sampler):
    """Permutes 0, ..., n_max − 1 for each class, modulo the class's own count n_c.

    Every class thus has n_max rows, and the first n_max mod n_c examples of a class occur once more
    than its others, in each epoch.
    """

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [C · n_max], shuffled."""
        classes = by_class(split).values()
        largest = max(map(len, classes))
        parts = [ids[torch.from_numpy(rng.permutation(largest) % len(ids))] for ids in classes]
        return shuffled(torch.cat(parts), rng), None
