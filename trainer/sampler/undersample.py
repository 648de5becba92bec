"""Undersampling of large classes (Buda et al. 2018, https://arxiv.org/abs/1710.05381).

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

    The remaining examples are drawn afresh each epoch. `majority` cuts the first of several equally
    large classes.
    """

    targets = ("class",)

    def __init__(self, *, strategy: Literal["not_minority", "majority"] = "not_minority") -> None:
        self.strategy = strategy

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """The remaining ids [m], shuffled."""
        classes = by_class(split)
        smallest = min(map(len, classes.values()))
        largest = max(classes, key=lambda label: len(classes[label]))
        for label, ids in classes.items():
            if self.strategy == "not_minority" or label == largest:
                classes[label] = shuffled(ids, rng)[:smallest]
        return shuffled(torch.cat([*classes.values()]), rng), None
