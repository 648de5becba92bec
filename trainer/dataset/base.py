"""Data sets: labelled images, and their training, validation and test splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.core.batch import Input, Target, input_kind
from trainer.core.errors import ConfigError, DataError
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.core.text import count
from trainer.dataset.shared import degrade
from trainer.dataset.shared.boxes import per_class
from trainer.dataset.shared.check_labels import check_labels
from trainer.dataset.shared.class_subset import (
    check_several,
    class_ids,
    drop_others,
    keep_classes,
)
from trainer.dataset.shared.corrections import Corrections
from trainer.dataset.shared.folds import check_fold, cut_fold, joined
from trainer.dataset.shared.groups import check_apart, check_classes_left
from trainer.dataset.shared.split import Images, Pixels, Split, divide
from trainer.dataset.shared.statistics import channel_statistics

__all__ = ["Data", "Dataset", "Images", "Pixels", "Raw", "Split", "channel_statistics", "divide"]

HASH = "corrections_sha256"  # the setting that records which content a file had
COUNTED_AT_ONCE = 1000  # masks in memory at once


@dataclass(frozen=True)
class Raw:
    """The splits a data set comes with; `Dataset.open` cuts missing ones from `train`."""

    train: Split
    test: Split | None
    classes: tuple[str, ...]
    val: Split | None = None
    mean: tuple[float, ...] | None = None  # per channel, pixels in [0, 1]; empty for texts
    std: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()  # what the person should know, a line each
    decided: Mapping[str, int] = field(default_factory=dict)  # settings that the files decide
    groups: tuple[str, ...] = ()  # the names of the groups that `Split.groups` numbers


@dataclass(frozen=True)
class Data:
    """A data set, loaded and split."""

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    true_labels: Tensor | None = None  # [M] of the source, if training labels were changed
    threshold: int | None = None  # id of the extra class of threshold_class
    notes: tuple[str, ...] = ()  # what the person should know, a line each
    decided: Mapping[str, int | str | None] = field(default_factory=dict)  # by the files
    groups: tuple[str, ...] = ()  # the names of the groups that `Split.groups` numbers
    given_labels: Tensor | None = None  # [M] of the source, before dataset.corrections
    crop: tuple[int, int] | None = None  # height and width of what the model sees; None: all of it

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a model's input: C, H, W of an image, or the most words of a text."""
        stored = self.train.images.shape
        return stored if self.crop is None else (stored[0], *self.crop)

    @property
    def uncut(self) -> bool:
        """Whether images have their own size and shape until a piece is cut out of them."""
        return hasattr(self.train.images, "pieces")

    @property
    def kind(self) -> Input:
        """What the inputs are: `image` or `text`."""
        return input_kind(self.shape)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words of texts, the first with the word id 2; empty for images."""
        return getattr(self.train.images, "vocabulary", ())

    @property
    def target(self) -> Target:
        """The type of the labels: `class`, `multilabel`, `mask`, `vector`, `image` or `boxes`."""
        return self.train.target

    def class_counts(self) -> Tensor:
        """Training examples, pixels of masks, or boxes, per class [C]; [0] if labels have none.

        Values that are not a class, such as 255 for ignored pixels, are not counted.
        """
        if self.target == "multilabel":
            return self.train.labels[self.train.ids].sum(0)
        if self.target == "boxes":
            return per_class(self.train.labels[self.train.ids], len(self.classes))
        counts = torch.zeros(len(self.classes), dtype=torch.int64)
        if self.train.labels.is_floating_point():
            return counts[:0]
        for ids in self.train.ids.split(COUNTED_AT_ONCE):
            labels = self.train.labels[ids].flatten()
            counts += labels.bincount(minlength=len(counts))[: len(counts)]
        return counts

    def described(self) -> dict[str, Tensor]:
        """The training ids, labels (no masks) and changed labels, for the difficulty store."""
        ids, labels = self.train.ids, self.train.labels
        if self.target == "boxes":
            return {"ids": ids, "boxes": labels}
        stored = labels.ndim == 1 or self.target == "multilabel"
        arrays = {"ids": ids, "labels": labels} if stored else {"ids": ids}
        if self.true_labels is not None:
            arrays["true_labels"] = self.true_labels
        if self.given_labels is not None and labels.ndim == 1:
            arrays["given_labels"] = self.given_labels
        if self.threshold is not None:
            arrays["threshold"] = ids[labels[ids] == self.threshold]
        if (keys := getattr(self.train.images, "keys", None)) is not None:
            arrays["keys"] = keys
        return arrays


@dataclass(kw_only=True)
class Dataset:
    """Base of all data sets: a subclass loads the images, this class splits them.

    Without a published test split, `test_fraction` of the images are held out first, the same ones
    for every seed, so that all runs are tested on the same examples. Without a published validation
    split, `val_fraction` of the rest are held out next, drawn by the run's seed. Both are
    stratified. Where the images come in groups, each group is whole in one split.

    With `folds`, the validation split is fold number `fold` of that many, and the training split
    the others. They are cut from all images but those of the test split, a published validation
    split included; stratified, and by group where there are groups; drawn by the run's seed, so
    that runs which differ in `fold` alone validate on each of these images once.

    `classes` then restricts all three splits to the classes listed, by name or id, renumbered in
    that order. Each split is a subset of the one with all classes.

    Finally the training split is degraded on request, in this order: `imbalance`, the ratio of the
    largest class to the smallest; `subset`, a stratified fraction or number of examples;
    `label_noise`, the fraction of wrong labels; `threshold_class`. See
    trainer.dataset.shared.degrade. With `folds`, label noise is drawn for all that the folds are
    cut from: an example has the same label, right or wrong, in every fold.

    `corrections` is a CSV file that has the last word on the labels of the training and validation
    examples it names, after label noise; see trainer.dataset.shared.corrections. The splits are
    those without it, but for the examples that it drops, and test labels stay as they are. A run
    records the file's hash as `corrections_sha256`: resuming with another content is refused.
    """

    classes: list[int | str] | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    folds: int | None = None
    fold: int | None = None
    subset: int | float | None = None
    imbalance: float | None = None
    imbalance_type: degrade.Tail = "exponential"
    label_noise: float = 0.0
    noise_type: degrade.Noise = "symmetric"
    threshold_class: bool = False
    corrections: str | None = None
    corrections_sha256: str | None = None

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
            raise ValueError(
                "dataset.classes must list a class, or be null for all of them, got []"
            )
        check_fold(self.folds, self.fold)

    def load(self) -> Raw:
        """Load the images and labels. Raises DataError naming the path and the remedy."""
        raise DataError(f"{type(self).__name__} must define load()")

    @property
    def folder(self) -> str | None:
        """The folder that the paths of images are relative to, None where they have none."""
        return getattr(self, "root", None)

    def open(self, seed: int) -> Data:
        """Load, check, split and degrade. Raises DataError or ConfigError."""
        raw = self.load()
        for split in filter(None, (raw.train, raw.val, raw.test)):
            check_labels(split, len(raw.classes))
        corrections = self.read_corrections(raw)
        train, val, test = self.cut_splits(raw, seed)
        classes = raw.classes
        if self.classes is not None:
            kept = class_ids(self.classes, classes, train)
            splits = [keep_classes(split, kept) for split in (train, val, test)]
            train, val, test = drop_others(splits)
            classes = tuple(classes[c] for c in kept)
            check_several(self.classes)
        train, val = self.degraded(train, val, classes, seed)
        given, notes = train.labels, raw.notes
        if corrections is not None:
            before = train
            train, val, about = corrections.apply(train, val, test, classes)
            degrade.check_not_emptied(train, before, classes, f"corrections={self.corrections}")
            notes += (about,)
        if self.threshold_class:
            extended = degrade.threshold_class(train, len(classes), seed)
            train = degrade.check_not_emptied(extended, train, classes, "threshold_class=true")
        train, val, test = self.finished(train, val, test)
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
            true_labels=train.truth,
            threshold=len(classes) if self.threshold_class else None,
            decided={**raw.decided, HASH: None if corrections is None else corrections.sha256},
            notes=notes,
            groups=raw.groups,
            given_labels=None if corrections is None else given,
            crop=self.cut_to(train),
        )

    def cut_to(self, train: Split) -> tuple[int, int] | None:
        """Height and width that images are cut to before the model, None if they are not."""

    def finished(self, train: Split, val: Split, test: Split) -> tuple[Split, Split, Split]:
        """The splits that are opened; texts are numbered here, by the words of the first."""
        return train, val, test

    def read_corrections(self, raw: Raw) -> Corrections | None:
        """The corrections of the file, if one is given. Raises DataError by line."""
        if self.corrections is None:
            return None
        splits = [split for split in (raw.train, raw.val, raw.test) if split is not None]
        return Corrections(self.corrections, self.folder, raw.classes, splits)

    def cut_splits(self, raw: Raw, seed: int) -> tuple[Split, Split, Split]:
        """Training, validation and test split. Raises DataError if the training split is empty."""
        train, val, test = raw.train, raw.val, raw.test
        if self.folds is not None:
            train, val = joined(train, val), None
        check_apart({"train": train, "val": val, "test": test}, raw.groups)
        whole = train
        if test is None:
            test, train = divide(train, self.test_fraction, generator(0, Purpose.SPLIT, 0))
        if self.folds is not None and self.fold is not None:
            val, train = cut_fold(train, self.folds, self.fold, generator(seed, Purpose.SPLIT, 1))
        elif val is None:
            val, train = divide(train, self.val_fraction, generator(seed, Purpose.SPLIT, 1))
        if len(train) == 0:
            cut = [f"dataset.test_fraction={self.test_fraction:g}"] if raw.test is None else []
            cut += [f"dataset.val_fraction={self.val_fraction:g}"] if raw.val is None else []
            of = count(len(raw.train), "example")
            why = f": {' and '.join(cut)} leave none of {of}; lower one of them"
            raise DataError("the training split is empty" + (why if cut and len(raw.train) else ""))
        check_classes_left(train, whole, raw.classes)
        return train, val, test

    def degraded(
        self, train: Split, val: Split, classes: tuple[str, ...], seed: int
    ) -> tuple[Split, Split]:
        """Training and validation split, with fewer examples and wrong labels where asked for.

        Raises DataError where that empties a class.
        """
        number = len(classes)
        for setting in ("imbalance", "label_noise", "threshold_class"):
            value = getattr(self, setting)
            if value and not (train.classed and number > 1):
                raise ConfigError(
                    f"dataset.{setting}={str(value).lower()} needs a class label per image and "
                    "two or more classes; leave it out"
                )
        everyone = train if self.folds is None else joined(train, val)
        if self.imbalance is not None:
            fewer = degrade.imbalance(train, number, self.imbalance, self.imbalance_type, seed)
            train = degrade.check_not_emptied(fewer, train, classes, f"imbalance={self.imbalance}")
        if self.subset is not None:
            fewer = degrade.subset(train, self.subset, seed)
            train = degrade.check_not_emptied(fewer, train, classes, f"subset={self.subset}")
        if not self.label_noise:
            return train, val
        clean = train if self.folds is None else everyone
        noisy = degrade.label_noise(clean, number, self.label_noise, self.noise_type, seed)
        wrong = {"labels": noisy.labels, "truth": noisy.truth}
        before, train = train, replace(train, **wrong)
        degrade.check_not_emptied(train, before, classes, f"label_noise={self.label_noise}")
        return train, val if self.folds is None else replace(val, **wrong)
