"""The sampler contract: an epoch's rows, a pure function of split and generator."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import TARGETS, Input, Target
from trainer.dataset import Split
from trainer.dataset.shared.split import Pixels


class Sampler(ABC):
    """Chooses and orders the rows of an epoch."""

    inputs: ClassVar[tuple[Input, ...]] = ("image", "text")  # kinds of input it supports
    targets: ClassVar[tuple[Target, ...]] = TARGETS

    def instead(self, target: Target) -> str | None:
        """The setting with which it supports a kind of target that it does not, if any."""
        return None

    @abstractmethod
    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Dataset ids [R] and None, in order; or ids and shares [R, K] if rows blend K examples."""

    def ids(self, split: Split) -> Tensor:
        """The ids [m] that an epoch may contain; miners ignore all others."""
        return split.ids

    def order(self, labels: Tensor, rng: np.random.Generator) -> Tensor:
        """The row order [R] of an epoch over examples with labels [N, ...], without a Split.

        Raises ValueError if the sampler blends examples, which takes `rows`.
        """
        no_pixels = Pixels(torch.empty(len(labels), 0, 0, 0))
        ids, shares = self.rows(Split(no_pixels, labels, torch.arange(len(labels))), rng)
        if shares is not None:
            raise ValueError(f"{type(self).__name__} blends examples: call rows(split, rng)")
        return ids


class PreparedSampler(Sampler):
    """A sampler that computes something once per split and caches it for all epochs."""

    cached: tuple[Split, Any] | None = None

    @abstractmethod
    def prepare(self, split: Split) -> Any:
        """Compute what every epoch draws from; it depends on the split alone."""

    def prepared(self, split: Split) -> Any:
        """The result of `prepare` for a split, computed on the first call."""
        if self.cached is None or self.cached[0] is not split:
            self.cached = split, self.prepare(split)
        return self.cached[1]


def by_class(split: Split) -> dict[int, Tensor]:
    """The ids [n_c] of each class present in the split, in ascending order of class.

    Raises ValueError if the labels are not classes.
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
