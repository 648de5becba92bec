"""The contract of a sampler: an epoch's rows, a pure function of split and generator."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.dataset import Split
from trainer.dataset.shared.split import Pixels


class Sampler(ABC):
    """Chooses and orders the rows of an epoch. `order` needs labels alone."""

    @abstractmethod
    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Dataset ids [R] or [R, K] in order, and shares [R, K] if rows blend K examples."""

    def ids(self, split: Split) -> Tensor:
        """The ids [m] that some epoch may draw; miners ignore all others."""
        return split.ids

    def order(self, labels: Tensor, rng: np.random.Generator) -> Tensor:
        """Positions [R], in order, of an epoch over examples with labels [N, ...].

        For code without a Split. Raises ValueError if the sampler blends examples: that needs the
        images of a split, and `rows`.
        """
        no_pixels = Pixels(torch.empty(len(labels), 0, 0, 0))
        ids, shares = self.rows(Split(no_pixels, labels, torch.arange(len(labels))), rng)
        if shares is not None:
            raise ValueError(f"{type(self).__name__} blends examples: call rows(split, rng)")
        return ids


class PreparedSampler(Sampler):
    """A sampler that computes something from a split before its first epoch, and caches it."""

    cached: tuple[Split, Any] | None = None

    @abstractmethod
    def prepare(self, split: Split) -> Any:
        """Compute what the epochs draw from, a function of the split alone."""

    def prepared(self, split: Split) -> Any:
        """The result of `prepare` for a split, cached for the last one."""
        if self.cached is None or self.cached[0] is not split:
            self.cached = split, self.prepare(split)
        return self.cached[1]


def by_class(split: Split) -> dict[int, Tensor]:
    """The ids [n_c] of each class with examples in the split, in ascending order of class.

    Raises ValueError if labels are not classes.
    """
    if not split.classed:
        raise ValueError(
            f"sampler: drawing by class needs class labels, got {split.target} targets; use "
            "sampler=shuffle"
        )
    labels = split.labels[split.ids]
    return {int(label): split.ids[labels == label] for label in labels.unique()}


def shuffled(ids: Tensor, rng: np.random.Generator) -> Tensor:
    """Ids [n] or [n, K] in random order."""
    return ids.index_select(0, torch.from_numpy(rng.permutation(len(ids))))
