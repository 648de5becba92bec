"""What a model was trained on: the meaning of its inputs and outputs, in `data.json`.

The file is in the run folder and in each checkpoint. Readers accept older ones with fewer entries.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from trainer.core.batch import Input, Target, input_kind
from trainer.core.errors import CheckpointError, ConfigError
from trainer.core.text import enumerated
from trainer.dataset import Data, Split
from trainer.dataset.shared.boxes import renamed
from trainer.dataset.shared.decode import colour
from trainer.dataset.shared.letterbox import Fit
from trainer.dataset.shared.text_dataset import with_vocabulary
from trainer.storage.checkpoint import DATA
from trainer.storage.run_folder import write_json
from trainer.storage.untrusted import read_json

FILE = DATA
COVER = "cover"  # images are scaled to cover the size, then centre-cropped
FITS = get_args(Fit)
TARGETS = get_args(Target)
LARGEST = 2**25  # bytes of that file: it names every class
MOST = 2**48  # values of an input, outputs, and training pixels: no memory holds more
SHOWN = 20  # class names in a message

Background = str | tuple[int, ...] | None


@dataclass(frozen=True)
class TrainedOn:
    """The images and classes that a run was trained on."""

    run: str  # its folder, for messages
    classes: tuple[str, ...]  # in the order of the outputs
    shape: tuple[int, ...]  # of an image: C, H, W; of a text its most words
    mean: tuple[float, ...]  # per channel, pixels in [0, 1]; empty for texts
    std: tuple[float, ...]
    class_counts: tuple[int, ...]  # training examples, or pixels, per class
    task: str = ""  # option of the group; empty where an older run did not record it
    target: str = ""  # kind of label: class, mask, ...; empty as above
    outputs: int = 0  # of the model's head; 0 as above
    fit: Fit = COVER  # how images are brought to the shape
    background: Background = None  # what lies behind transparent pixels; null: black
    thresholds: tuple[float, ...] | None = (
        None  # probability of each class from which it is present
    )
    stored: tuple[int, ...] = ()  # height and width of images before they are cut; empty: `shape`
    vocabulary: tuple[str, ...] = ()  # the words of texts, the first with the word id 2

    @classmethod
    def of(
        cls,
        data: Data,
        run: Path,
        class_counts: Tensor,
        *,
        task: str = "",
        outputs: int = 0,
        background: Background = None,
        fit: Fit = COVER,
    ) -> TrainedOn:
        """What a run in the folder `run` trains on."""
        return cls(
            str(run),
            data.classes,
            tuple(data.shape),
            data.mean,
            data.std,
            tuple(class_counts.tolist()),
            task=task,
            target=data.target,
            outputs=outputs,
            background=background,
            vocabulary=data.vocabulary,
            fit=fit,
            stored=() if data.crop is None else tuple(data.train.images.shape[1:]),
        )

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width that images are brought to, before they are cut to `shape`."""
        return self.stored or self.shape[1:]

    @property
    def kind(self) -> Input:
        """What the inputs are: `image` or `text`."""
        return input_kind(self.shape)

    @classmethod
    def read(cls, folder: Path, run: Path | None = None) -> TrainedOn | None:
        """Read a folder's file; None where it has none. Raises CheckpointError.

        The folder is a run's, or that of a checkpoint of `run`.
        """
        path = folder / FILE
        if not os.path.lexists(path):
            return None
        record = read_json(path, LARGEST)
        try:
            found = cls(
                str(run or folder),
                tuple(listed(record, "classes", str)),
                tuple(listed(record, "shape", int)),
                tuple(map(float, listed(record, "mean", int, float))),
                tuple(map(float, listed(record, "std", int, float))),
                tuple(listed(record, "class_counts", int)),
                **later(record),
            )
            found.check()
        except (ValueError, KeyError, OverflowError) as error:
            raise CheckpointError(f"{path} cannot be read: {error!r}") from error
        return found

    def check(self) -> None:
        """Raise ValueError for numbers that no data set has."""
        if len(self.shape) not in (1, 3):
            raise ValueError("shape must be that of an image or a text")
        if max(math.prod(self.shape), self.outputs, sum(self.class_counts)) > MOST:
            raise ValueError(f"shape, outputs and class_counts are at most {MOST:,}")
        colour(self.background)
        channels = self.shape[0] if self.kind == "image" else 0
        if min(self.shape) < 1 or not channels == len(self.mean) == len(self.std):
            raise ValueError("shape, mean and std do not fit each other")
        if self.stored and not (
            self.kind == "image"
            and len(self.stored) == 2
            and all(own >= cut for own, cut in zip(self.stored, self.shape[1:], strict=True))
        ):
            raise ValueError("images of the size stored cannot be cut to shape")
        if self.vocabulary and self.kind == "image":
            raise ValueError("images have no vocabulary")
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError("vocabulary has a word twice")
        if not (all(map(math.isfinite, self.mean + self.std)) and min(self.std, default=1) > 0):
            raise ValueError("mean and std must be finite, std above 0")
        if len(self.class_counts) not in (0, len(self.classes)) or min((0, *self.class_counts)) < 0:
            raise ValueError("class_counts must be a number per class")
        if self.target not in ("", *TARGETS) or self.outputs < 0:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, and outputs at least 1")
        if self.fit not in FITS:
            raise ValueError(f"fit={self.fit} is not known to this version")
        if self.thresholds is not None and len(self.thresholds) != len(self.classes):
            raise ValueError("thresholds must be a number per class")

    def record(self) -> dict[str, Any]:
        """The contents of the file."""
        left_out = ["run"] if self.kind == "text" else ["run", "vocabulary"]
        left_out += [] if self.stored else ["stored"]
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def write(self, run: Path) -> None:
        """Write the file to a run folder."""
        write_json(run / FILE, self.record())

    def applied(self, data: Data, *, any_size: bool = False) -> Data:
        """Other data as the run's model reads it: its class numbers, mean, deviation, vocabulary.

        Raises ConfigError for other classes, for texts instead of images, for other channels and,
        unless `any_size`, for images of another size.
        """
        if data.kind != self.kind:
            raise ConfigError(
                f"{self.run} was trained on {self.kind}s, the data are {data.kind}s; give a data "
                f"set of {self.kind}s"
            )
        if set(data.classes) != set(self.classes):
            raise ConfigError(
                f"{self.run} was trained on the classes {shown(self.classes, data.classes)}, the "
                f"data has {shown(data.classes, self.classes)}; give a data set with the run's "
                "classes"
            )
        if self.kind == "text":
            return with_vocabulary(renumbered(data, self.classes), self.vocabulary, self.shape[0])
        channels, *size = data.shape
        if channels != self.shape[0] or not (any_size or tuple(size) == self.shape[1:]):
            raise ConfigError(
                f"{self.run} was trained on images of {times(self.shape)} (C×H×W), the data has "
                f"{times(data.shape)}; give a data set with the run's channels and size"
            )
        return replace(renumbered(data, self.classes), mean=self.mean, std=self.std)


def later(record: dict[str, Any]) -> dict[str, Any]:
    """The entries that older files lack. Raises ValueError for values of other types."""
    found: dict[str, Any] = {}
    for name, kind in {"task": str, "target": str, "outputs": int, "fit": str}.items():
        if name in record:
            found[name] = record[name]
            if type(found[name]) is not kind:
                raise ValueError(f"{name} must be of type {kind.__name__}")
    background = record.get("background")
    if isinstance(background, list):
        background = tuple(listed(record, "background", int))
    elif not isinstance(background, str | None):
        raise ValueError("background must be a colour")
    if record.get("thresholds") is not None:
        found["thresholds"] = tuple(map(float, listed(record, "thresholds", int, float)))
    if "stored" in record:
        found["stored"] = tuple(listed(record, "stored", int))
    if "vocabulary" in record:
        found["vocabulary"] = tuple(listed(record, "vocabulary", str))
    return found | {"background": background}


def listed(record: dict[str, Any], name: str, *kinds: type) -> list[Any]:
    """The list of a name in a record. Raises ValueError for items of other kinds."""
    items = record[name]
    if not isinstance(items, list) or any(type(item) not in kinds for item in items):
        raise ValueError(f"{name} must be a list of {kinds[-1].__name__}")
    return items


def shown(classes: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Class names for a message. Of many, the first few, beginning with those not in `others`."""
    if len(classes) <= SHOWN:
        return f"[{enumerated(classes)}]"
    differing = sorted(classes, key=set(others).__contains__)
    return f"[{enumerated(differing[:SHOWN])}, ... ({len(classes)} in all)]"


def times(shape: tuple[int, ...]) -> str:
    """A shape for a message."""
    return "×".join(map(str, shape))


def places_of(classes: tuple[str, ...], order: tuple[str, ...]) -> Tensor:
    """The place in `order` of each class [C]; both have the same names."""
    place = {name: i for i, name in enumerate(order)}
    return torch.tensor([place[name] for name in classes], dtype=torch.long)


def renumbered(data: Data, order: tuple[str, ...]) -> Data:
    """The data with its classes in another order; labels that are not a class stay as they are."""
    if data.classes == order:
        return data
    places = places_of(data.classes, order)
    known: dict[int, Tensor] = {}  # splits that share their labels still do

    def labels_of(labels: Tensor) -> Tensor:
        if id(labels) not in known:
            known[id(labels)] = moved(labels, places)
        return known[id(labels)]

    def split_of(split: Split) -> Split:
        return replace(split, labels=labels_of(split.labels))

    return replace(
        data,
        train=split_of(data.train),
        val=split_of(data.val),
        test=split_of(data.test),
        classes=order,
        true_labels=None if data.true_labels is None else labels_of(data.true_labels),
        threshold=None if data.threshold is None else int(places[data.threshold]),
    )


def moved(labels: Tensor, places: Tensor) -> Tensor:
    """Class ids of any shape, each replaced by its place; what is not a class is kept.

    Of multi-hot labels [M, C], the columns move; of boxes [M, N, 5], the classes from 1.
    """
    if labels.dtype == torch.bool:
        return labels[:, places.argsort()]
    if labels.is_floating_point() and labels.ndim == 3:
        return renamed(labels, places)
    if labels.dtype == torch.uint8:  # masks: looked up without a wider copy
        table = torch.arange(256, dtype=torch.uint8)
        table[: len(places)] = places.to(torch.uint8)
        return torch.from_numpy(table.numpy()[labels.numpy()])
    is_class = (labels >= 0) & (labels < len(places))
    return torch.where(is_class, places[labels.clamp(0, len(places) - 1)].to(labels.dtype), labels)
