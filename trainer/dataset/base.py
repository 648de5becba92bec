"""What a data set is: a source of images with labels, and splits that are lists of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainer.check import within
from trainer.errors import DataError
from trainer.seed import Purpose, generator

STATISTICS_SAMPLE = 2000  # images that the channel mean and deviation are taken from
STATISTICS_CHUNK = 50  # of them are in memory at once


class Images(Protocol):
    """M images of one shape, held in memory or decoded on demand."""

    shape: tuple[int, int, int]  # C, H, W

    def __len__(self) -> int:
        """M."""
        ...

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W] on the CPU."""
        ...


class Pixels:
    """Images that are held as one uint8 tensor [M, C, H, W]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.shape: tuple[int, int, int] = tuple(pixels.shape[1:])  # pyright: ignore

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W]."""
        return self.pixels[torch.as_tensor(ids)]


@dataclass(frozen=True)
class Split:
    """Some rows of a source. A row's number in the source is the dataset id of its example."""

    images: Images
    labels: Tensor  # [M, ...] of the whole source
    ids: Tensor  # [n] the rows that belong to the split

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Raw:
    """What a data set reads: a source to train on and, where there is one, a source to test on."""

    train: Split
    test: Split | None
    classes: tuple[str, ...]
    val: Split | None = None
    mean: tuple[float, ...] | None = None  # per channel, pixels in [0, 1]
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Data:
    """A data set opened and split."""

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of an image."""
        return self.train.images.shape

    def class_counts(self) -> Tensor:
        """[C] examples of each class in the training split."""
        return self.train.labels[self.train.ids].bincount(minlength=len(self.classes))


@dataclass(kw_only=True)
class Dataset:
    """Base of all data sets: a subclass reads, this class splits.

    The validation split is cut from the training rows, stratified, by the run's seed. Where the
    source has no test rows of its own, `test_fraction` of them is cut first, the same for every
    seed, so that runs of different seeds are tested on the same examples.
    """

    val_fraction: float = 0.1
    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        within("dataset.val_fraction", self.val_fraction, "[0, 1)")
        within("dataset.test_fraction", self.test_fraction, "[0, 1)")

    def load(self) -> Raw:
        """Read the source. Raises DataError, naming the path and what to do."""
        raise DataError(f"{type(self).__name__} reads nothing: a data set must define load()")

    def open(self, seed: int) -> Data:
        """Read and split."""
        raw = self.load()
        train, test = raw.train, raw.test
        if test is None:
            test, train = divide(train, self.test_fraction, generator(0, Purpose.SPLIT, 0))
        val = raw.val
        if val is None:
            val, train = divide(train, self.val_fraction, generator(seed, Purpose.SPLIT, 1))
        if len(train) == 0:
            raise DataError("the training split is empty; lower dataset.val_fraction")
        mean, std = raw.mean, raw.std
        if mean is None or std is None:
            mean, std = channel_statistics(train)
        return Data(train, val, test, raw.classes, mean, std)


def divide(split: Split, fraction: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Cut a stratified `fraction` off: (the part, the rest), ids in ascending order.

    Each class gives its own share, rounded so that the part has the right size as a whole.
    """
    labels = split.labels[split.ids].numpy()
    strata = labels if labels.ndim == 1 and labels.dtype.kind == "i" else np.zeros(len(labels))
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    # Every 1/fraction-th row of the list sorted by class: proportions hold to within one row.
    marks = np.floor(np.arange(len(order) + 1) * fraction + 0.5)
    taken = np.zeros(len(order), bool)
    taken[order] = np.diff(marks) > 0
    mask = torch.from_numpy(taken)
    return (
        Split(split.images, split.labels, split.ids[mask]),
        Split(split.images, split.labels, split.ids[~mask]),
    )


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, pixels in [0, 1], from a part of the split."""
    at = torch.linspace(0, len(split) - 1, min(len(split), STATISTICS_SAMPLE)).long()
    total = square = torch.zeros((), dtype=torch.float64)
    for ids in split.ids[at].split(STATISTICS_CHUNK):
        pixels = split.images.read(ids.tolist()).double() / 255
        total = total + pixels.mean((2, 3)).sum(0)
        square = square + pixels.square().mean((2, 3)).sum(0)
    mean = total / len(at)
    std = (square / len(at) - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(std.clamp(min=1e-3).tolist())
