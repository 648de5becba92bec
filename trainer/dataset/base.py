"""What a data set is: a source of images with labels, and splits that are lists of its rows."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.core.batch import Target
from trainer.core.errors import ConfigError, DataError
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.dataset.shared import degrade
from trainer.dataset.shared.check_labels import check_labels
from trainer.dataset.shared.class_subset import chosen, restrict
from trainer.dataset.shared.split import Images, Pixels, Split, divide

__all__ = ["Data", "Dataset", "Images", "Pixels", "Raw", "Split", "channel_statistics", "divide"]

STATISTICS_SAMPLE = 2000  # images that the channel mean and deviation are taken from
STATISTICS_CHUNK = 50  # of them are in memory at once
COUNTED_AT_ONCE = 1000  # masks


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
    true_labels: Tensor | None = None  # [M] of the source, where the training labels are others
    threshold: int | None = None  # the class that stands for wrong labels, none of val or test

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of an image."""
        return self.train.images.shape

    @property
    def target(self) -> Target:
        """What a label is."""
        return self.train.target

    def class_counts(self) -> Tensor:
        """[C] examples, or of masks pixels, of each class in the training split; else [0].

        Ids of no class, such as the 255 of ignored pixels, are not counted.
        """
        counts = torch.zeros(len(self.classes), dtype=torch.int64)
        if self.train.labels.is_floating_point():
            return counts[:0]
        for ids in self.train.ids.split(COUNTED_AT_ONCE):
            found = self.train.labels[ids].flatten().bincount(minlength=len(counts))
            counts += found[: len(counts)]
        return counts

    def described(self) -> dict[str, Tensor]:
        """What the difficulty store keeps of the training split beside its records; no masks."""
        ids, labels = self.train.ids, self.train.labels
        held = {"ids": ids, "labels": labels} if labels.ndim == 1 else {"ids": ids}
        if self.true_labels is not None:
            held["true_labels"] = self.true_labels
        if self.threshold is not None:
            held["threshold"] = ids[labels[ids] == self.threshold]
        return held


@dataclass(kw_only=True)
class Dataset:
    """Base of all data sets: a subclass reads, this class splits.

    The validation split is cut from the training rows, stratified, by the run's seed. Where the
    source has no test rows of its own, `test_fraction` of them is cut first, the same for every
    seed, so that runs of different seeds are tested on the same examples.

    `classes`, by their names or numbers, are then the only ones of all three splits, numbered in
    the order given: the splits are parts of those of all classes.

    What is left to train on is twisted by the seed where asked for, in this order: `imbalance`, the
    largest class over the smallest; `subset`, a stratified fraction or number; `label_noise`, the
    part of wrong labels; `threshold_class`. See trainer.dataset.shared.degrade.
    """

    classes: list[int | str] | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    subset: int | float | None = None
    imbalance: float | None = None
    imbalance_type: degrade.Tail = "exponential"
    label_noise: float = 0.0
    noise_type: degrade.Noise = "symmetric"
    threshold_class: bool = False

    def __post_init__(self) -> None:
        within("dataset.val_fraction", self.val_fraction, "[0, 1)")
        within("dataset.test_fraction", self.test_fraction, "[0, 1)")
        within("dataset.label_noise", self.label_noise, "[0, 1)")
        if self.imbalance is not None:
            within("dataset.imbalance", self.imbalance, "[1, inf)")
        if isinstance(self.subset, float):
            within("dataset.subset as a fraction", self.subset, "(0, 1)")
        elif self.subset is not None:
            within("dataset.subset", self.subset, "[1, inf)")
        if self.classes == []:
            raise ValueError("dataset.classes must name a class, or be null for all, got []")

    def load(self) -> Raw:
        """Read the source. Raises DataError, naming the path and what to do."""
        raise DataError(f"{type(self).__name__} reads nothing: a data set must define load()")

    def open(self, seed: int) -> Data:
        """Read and split."""
        raw = self.load()
        for split in filter(None, (raw.train, raw.val, raw.test)):
            check_labels(split, len(raw.classes))
        train, val, test = self.divided(raw, seed)
        classes = raw.classes
        if self.classes is not None:
            kept = chosen(self.classes, classes, train)
            train, val, test = (restrict(split, kept) for split in (train, val, test))
            classes = tuple(classes[c] for c in kept)
        true_labels = train.labels
        train = self.twisted(train, classes, seed)
        mean, std = raw.mean, raw.std
        if mean is None or std is None:
            mean, std = channel_statistics(train)
        return Data(
            train,
            val,
            test,
            classes + (("threshold",) if self.threshold_class else ()),
            mean,
            std,
            true_labels=None if train.labels is true_labels else true_labels,
            threshold=len(classes) if self.threshold_class else None,
        )

    def divided(self, raw: Raw, seed: int) -> tuple[Split, Split, Split]:
        """Training, validation and test split. Raises DataError where nothing is left to train."""
        train, val, test = raw.train, raw.val, raw.test
        if test is None:
            test, train = divide(train, self.test_fraction, generator(0, Purpose.SPLIT, 0))
        if val is None:
            val, train = divide(train, self.val_fraction, generator(seed, Purpose.SPLIT, 1))
        if len(train) == 0:
            raise DataError("the training split is empty; lower dataset.val_fraction")
        return train, val, test

    def twisted(self, split: Split, classes: tuple[str, ...], seed: int) -> Split:
        """The training split as the settings change it. Raises DataError for a class left empty."""
        number = len(classes)
        for setting in ("imbalance", "label_noise", "threshold_class"):
            if getattr(self, setting) and not (split.classed and number > 1):
                raise ConfigError(f"dataset.{setting} needs a class for each image, of two or more")
        if self.imbalance is not None:
            fewer = degrade.imbalance(split, number, self.imbalance, self.imbalance_type, seed)
            split = filled(fewer, split, classes, f"imbalance={self.imbalance}")
        if self.subset is not None:
            fewer = degrade.subset(split, self.subset, seed)
            split = filled(fewer, split, classes, f"subset={self.subset}")
        if self.label_noise:
            noisy = degrade.label_noise(split, number, self.label_noise, self.noise_type, seed)
            split = filled(noisy, split, classes, f"label_noise={self.label_noise}")
        if self.threshold_class:
            extended = degrade.threshold_class(split, number, seed)
            split = filled(extended, split, classes, "threshold_class=true")
        return split


def filled(split: Split, before: Split, classes: tuple[str, ...], setting: str) -> Split:
    """The split. Raises DataError where it or a class of the split `before` has become empty."""
    if not len(split):
        raise DataError(f"dataset.{setting} leaves no training example")
    if split.classed:
        now, then = (s.labels[s.ids].unique().tolist() for s in (split, before))
        lost = sorted(set(then) - set(now))
        if lost:
            names = ", ".join(classes[c] for c in lost)
            raise DataError(f"dataset.{setting} leaves no training example of class {names}")
    return split


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, pixels in [0, 1], from a part of the split."""
    last = len(split) - 1
    at = torch.linspace(0, last, min(len(split), STATISTICS_SAMPLE)).long().clamp(max=last)
    ids = split.ids[at]
    recall = getattr(split.images, "recall", None)
    if recall is None:
        sums = channel_sums(split.images, ids)
    else:
        what = f"sums {hashlib.sha256(ids.numpy().tobytes()).hexdigest()}"
        shape = (2, split.images.shape[0] * 8)
        held = recall(what, shape, lambda: channel_sums(split.images, ids).view(torch.uint8))
        sums = held.view(torch.float64)
    mean, square = sums / len(at)
    std = (square - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(std.clamp(min=1e-3).tolist())


def channel_sums(images: Images, ids: Tensor) -> Tensor:
    """Sums over images, float64 [2, C]: of each channel's mean, and of its mean square."""
    total = torch.zeros(2, images.shape[0], dtype=torch.float64)
    for part in ids.split(STATISTICS_CHUNK):
        pixels = images.read(part.tolist()).double() / 255
        total += torch.stack([p.mean((2, 3)).sum(0) for p in (pixels, pixels.square())])
    return total
