"""Images in memory or in files, and splits, which list some of them by index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import BOX, Target
from trainer.core.errors import DataError
from trainer.dataset.shared.grouped import assign_groups


class Images(Protocol):
    """M images of one shape, in memory or decoded on demand; or texts, of one length."""

    shape: tuple[int, ...]  # of one: C, H, W; of a text, the most words L

    def __len__(self) -> int:
        """The number of images, M."""
        ...

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W] on the CPU; texts as int32 [.., L]."""
        ...


class Pixels:
    """Images in memory as one uint8 tensor [M, C, H, W]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.shape: tuple[int, ...] = tuple(pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W]."""
        return self.pixels[torch.as_tensor(ids, dtype=torch.int64)]


def in_memory(images: Images) -> Tensor | None:
    """All pixels, or word ids, of a source [M, ...]; None for one that is decoded on demand."""
    found = getattr(images, "pixels", None)
    return getattr(images, "word_ids", None) if found is None else found


@dataclass(frozen=True)
class Split:
    """Some rows of a source. A row's number in the source is the dataset id of its example."""

    images: Images
    labels: Tensor  # [M, ...] of the whole source
    ids: Tensor  # [n] the rows in this split
    groups: Tensor | None = None  # [M] the group of each row; no group stands in two splits
    truth: Tensor | None = None  # [M] the true labels, where `labels` are known to differ

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def target(self) -> Target:
        """The type of the labels: class ids [M], masks [M, H, W], numbers [M] or [M, D], or images.

        Bool labels [M, C] say of each class whether the image shows it: `multilabel`. Numbers
        [M, N, 5] are `boxes`; see trainer.dataset.shared.boxes. Raises DataError for labels
        [M, ...] of another type or shape.
        """
        if self.labels.dtype == torch.bool and self.labels.ndim == 2:
            return "multilabel"
        targets: dict[int, Target] = {1: "class", 3: "mask"}
        if self.labels.is_floating_point():
            targets = {1: "vector", 2: "vector", 4: "image"}
            if self.labels.shape[-1:] == (BOX,):
                targets[3] = "boxes"
        if self.labels.ndim not in targets:
            dtype, shape = self.labels.dtype, list(self.labels.shape)
            raise DataError(
                f"labels must be classes, masks, vectors or images, got {dtype} {shape}"
            )
        return targets[self.labels.ndim]

    @property
    def classed(self) -> bool:
        """Whether labels are class ids, one integer per example."""
        return self.target == "class"


def strata(split: Split) -> np.ndarray:
    """The stratum [n] of each example: its class, or its set of classes; one for other labels."""
    labels = split.labels[split.ids]
    if split.classed:
        return labels.numpy()
    if split.target == "multilabel":
        return labels.unique(dim=0, return_inverse=True)[1].numpy()
    return np.zeros(len(split), np.int64)


def divide(split: Split, fraction: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Cut off a stratified `fraction`: (the part, the rest), each with ids in ascending order.

    Each class contributes its share, rounded so that the part as a whole has the right size. With
    the same generator state, fraction f cuts off exactly what 1 − f leaves. Groups stay whole, so
    that with them sizes are as close as the groups allow.
    """
    if split.groups is not None and fraction:
        groups = split.groups[split.ids].numpy()
        part = assign_groups(groups, strata(split), (fraction, 1 - fraction), rng)
        return pick(split, part == 0), pick(split, part == 1)
    if fraction > 0.5:
        rest, part = divide(split, round(1 - fraction, 12), rng)
        return part, rest
    order = by_stratum(split, rng)
    # Every 1/fraction-th row of the list sorted by class: proportions are exact to within one row.
    marks = np.floor(np.arange(len(order) + 1) * fraction + 0.5)
    taken = np.zeros(len(order), bool)
    taken[order] = np.diff(marks) > 0
    return pick(split, taken), pick(split, ~taken)


def by_stratum(split: Split, rng: np.random.Generator) -> np.ndarray:
    """The places [n] of a split's examples, sorted by stratum, each stratum in random order."""
    of = strata(split)
    order = rng.permutation(len(of))
    return order[np.argsort(of[order], kind="stable")]


def pick(split: Split, mask: np.ndarray) -> Split:
    """The examples of a split where a mask [n] is true."""
    return replace(split, ids=split.ids[torch.from_numpy(mask)])
