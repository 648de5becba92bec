"""Class-aware sampling (Shen, Lin, Huang 2016, https://arxiv.org/abs/1512.05830)."""

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class


class ClassBalanced(Sampler):
    """Draws a class uniformly, then an example of it, with replacement.

    An epoch has as many rows as the split has examples.
    """

    targets = ("class",)

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [n], drawn independently with replacement."""
        classes = list(by_class(split).values())
        sizes = np.array([len(ids) for ids in classes])
        drawn = rng.integers(len(classes), size=len(split))
        positions = (np.cumsum(sizes) - sizes)[drawn] + rng.integers(sizes[drawn])
        return torch.cat(classes)[torch.from_numpy(positions)], None
