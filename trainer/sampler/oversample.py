"""Oversampling: repetition of the small classes (Buda et al. 2018, https://arxiv.org/abs/1710.05381)."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class, shuffled


class Oversample(Sampler):
    """Brings each class up to the largest one's count.

    Each example is there as often as another of its class, or once more: which ones is drawn anew
    each epoch.
    """

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [C · n_max], shuffled."""
        classes = by_class(split).values()
        most = max(map(len, classes))
        parts = []
        for ids in classes:
            whole, rest = divmod(most, len(ids))
            parts += [ids.repeat(whole), shuffled(ids, rng)[:rest]]
        return shuffled(torch.cat(parts), rng), None
