"""What a sampler does: the rows of an epoch, a pure function of the split and the generator."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split


class Sampler(ABC):
    """Chooses and orders the rows of an epoch."""

    @abstractmethod
    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Dataset ids [R] or [R, K] in order, and shares [R, K] where a row blends K examples."""

    def ids(self, split: Split) -> Tensor:
        """The ids [m] that rows of some epoch can be of: a miner looks at no others."""
        return split.ids


class PreparedSampler(Sampler):
    """A sampler that works something out of a split before its first epoch, and keeps it."""

    held: tuple[Split, Any] | None = None

    @abstractmethod
    def prepare(self, split: Split) -> Any:
        """What the epochs draw from: a function of the split alone."""

    def prepared(self, split: Split) -> Any:
        """What `prepare` gave for this split."""
        if self.held is None or self.held[0] is not split:
            self.held = split, self.prepare(split)
        return self.held[1]


def by_class(split: Split) -> dict[int, Tensor]:
    """The ids [n_c] of each class that the split has examples of, in ascending order of class.

    Raises ValueError where labels are not classes.
    """
    if not split.classed:
        raise ValueError(
            f"sampler: this one draws by class, and a label is a {split.target} here; take "
            "sampler=shuffle"
        )
    labels = split.labels[split.ids]
    return {int(label): split.ids[labels == label] for label in labels.unique()}


def shuffled(ids: Tensor, rng: np.random.Generator) -> Tensor:
    """The rows of ids [n] or [n, K] in random order."""
    return ids.index_select(0, torch.from_numpy(rng.permutation(len(ids))))
