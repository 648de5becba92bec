"""Label shuffling (Hikvision's scene classification entry, ILSVRC 2016): exactly equal classes."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class, shuffled


class LabelShuffle(Sampler):
    """Permutes 0, ..., n_max − 1 for each class and takes it modulo the class's size n_c.

    Every class thus has n_max rows, and in every epoch the first n_max mod n_c examples of a class
    occur once more than the rest.
    """

    targets = ("class",)

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [C · n_max], shuffled."""
        classes = by_class(split).values()
        largest = max(map(len, classes))
        parts = [ids[torch.from_numpy(rng.permutation(largest) % len(ids))] for ids in classes]
        return shuffled(torch.cat(parts), rng), None
