"""Base of the data sets whose labels are boxes in image files."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.boxes import MIN_VISIBLE, areas, cut, scattered
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.file_dataset import FileDataset
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.letterbox import placement
from trainer.dataset.shared.split_folders import NAMES


@dataclass
class Listing:
    """The images that a source of boxes lists, in order, and what it says of each."""

    classes: tuple[str, ...]
    paths: list[str] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)  # [n, 5] each, pixels of the file
    splits: list[str] = field(default_factory=list)  # train, val or test
    relative: bool = False  # edges are fractions of the image's width and height, not pixels

    def add(self, path: str, boxes: Sequence[Sequence[float]], split: str) -> None:
        """Add an image with boxes, rows of class from 1 (−c: a crowd), x0, y0, x1, y1."""
        self.paths.append(path)
        self.boxes.append(np.array(boxes, np.float64).reshape(-1, 5))
        self.splits.append(split)


@dataclass(kw_only=True)
class BoxDataset(FileDataset):
    """Images with any number of boxes, each with a class; images without boxes are kept.

    All images are one source, in the order of the listing. An image with more boxes than
    `max_boxes` is refused. Boxes are cut off at the border of their image; those without an area
    are left out, with a note. Images are not turned by their EXIF record.
    """

    size: int | list[int] | str | None = 300
    max_boxes: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        within("dataset.max_boxes", self.max_boxes, "[1, inf)")

    @property
    def boxed(self) -> bool:
        """Whether the labels are boxes."""
        return True

    @abstractmethod
    def listing(self) -> Listing:
        """List the images and read their boxes. Raises DataError naming the file."""

    def load(self) -> Raw:
        """List the images; read their sizes. Raises DataError for what cannot be read."""
        listed = self.listing()
        splits = np.array(listed.splits)
        if not (splits == "train").any():
            raise DataError(f"{printable(self.root_of)} has no training images with boxes")
        training = [path for path, of in zip(listed.paths, splits, strict=True) if of == "train"]
        size = self.image_size(training)
        images, kept = self.images_of(listed.paths, np.ones(len(splits), bool), size)
        rows = [boxes for boxes, keep in zip(listed.boxes, kept, strict=True) if keep]
        labels, note = placed(rows, images, self.max_boxes, relative=listed.relative)
        whole = Split(images, labels, torch.arange(len(images)))
        ids = {name: torch.from_numpy(np.flatnonzero(splits[kept] == name)) for name in NAMES}
        train, val, test = (
            replace(whole, ids=ids[name]) if len(ids[name]) else None for name in NAMES
        )
        if train is None:
            raise DataError(f"{printable(self.root_of)}: none of the training images can be read")
        decided = self.decided(size)
        return Raw(train, test, listed.classes, val=val, notes=note, decided=decided)

    @property
    def root_of(self) -> str:
        """What to call the source in a message."""
        return self.folder or type(self).__name__


def placed(
    rows: Sequence[np.ndarray], images: ImageFiles, most: int, *, relative: bool = False
) -> tuple[Tensor, tuple[str, ...]]:
    """Boxes [M, N, 5] in pixels of the images as they are read, and a note of what is left out.

    `rows` [n, 5] of each image are in pixels of the files, or `relative` to their sizes. A box of
    which less than MIN_VISIBLE is left by `fit=cover` counts nothing. Raises DataError for an image
    with more than `most` boxes, or with one that is not finite.
    """
    for path, boxes in zip(images.paths, rows, strict=True):
        check_boxes(path, boxes, most)
    of = np.repeat(np.arange(len(rows)), [len(boxes) for boxes in rows])
    kind, edges = np.split(np.concatenate([np.empty((0, 5)), *rows]), [1], 1)
    own, (_, *sides) = images.sizes(), images.shape
    target = sides[0], sides[1]
    at = [placement((height, width), target, images.way) for height, width in own.tolist()]
    size = np.array([[p.width, p.height] for p in at]).reshape(-1, 2)
    start = np.array([[p.left, p.top] for p in at]).reshape(-1, 2)[of]
    unit = size if relative else size / own[:, ::-1]
    edges = edges * np.tile(unit[of], 2) + np.tile(start, 2)
    whole = cut(edges, start, start + size[of])
    shown = cut(whole, np.zeros(2), np.array(target[::-1]))
    kind = np.where(areas(shown) >= MIN_VISIBLE * areas(whole), kind[:, 0], -np.abs(kind[:, 0]))
    shown = shown.astype(np.float32)
    left = areas(shown) > 0
    empty = int((areas(whole) <= 0).sum())
    note = f"{count(empty, 'box', plural='boxes')} without an area left out"
    boxes = np.column_stack([kind, shown])[left]
    return scattered(of[left], boxes, len(rows)), (note,) if empty else ()


def check_boxes(path: str, boxes: np.ndarray, most: int) -> None:
    """Raise DataError, naming the image, for more than `most` boxes and for one not finite."""
    if len(boxes) > most:
        raise DataError(
            f"{printable(path)} has {len(boxes)} boxes, more than dataset.max_boxes={most}; raise "
            "it, or correct the labels"
        )
    if not np.isfinite(boxes).all():
        raise DataError(f"{printable(path)} has a box that is not finite; correct the labels")
