"""Undersampling: a part of each large class (Buda et al. 2018, https://arxiv.org/abs/1710.05381).

The strategies are those of imbalanced-learn's RandomUnderSampler.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.sampler.base import Sampler, by_class, shuffled


class Undersample(Sampler):
    """Cuts every class (`not_minority`) or the largest one (`majority`) to the smallest's size.

    The examples that stay are drawn each epoch. If several classes are largest, `majority` is the
    first of them.
    """

    def __init__(self, *, strategy: Literal["not_minority", "majority"] = "not_minority") -> None:
        self.strategy = strategy

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [m] of the examples that stay, shuffled."""
        classes = by_class(split)
        size = min(map(len, classes.values()))
        largest = max(classes, key=lambda label: len(classes[label]))
        for label, ids in classes.items():
            if self.strategy == "not_minority" or label == largest:
                classes[label] = shuffled(ids, rng)[:size]
        return shuffled(torch.cat([*classes.values()]), rng), None
