"""Oversampling: repeats examples of small classes (Buda et al. 2018, https://arxiv.org/abs/1710.05381)."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class, shuffled


class Oversample(Sampler):
    """Brings each class up to the size of the largest.

    The examples of a class occur equally often, except for a remainder drawn each epoch.
    """

    targets = ("class",)

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [C · n_max], shuffled."""
        classes = by_class(split).values()
        largest = max(map(len, classes))
        parts = []
        for ids in classes:
            repeats, remainder = divmod(largest, len(ids))
            parts += [ids.repeat(repeats), shuffled(ids, rng)[:remainder]]
        return shuffled(torch.cat(parts), rng), None
