"""Boxes in COCO's format (Lin et al. 2014, https://arxiv.org/abs/1405.0312)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.core.errors import DataError
from trainer.dataset.shared.box_files import BoxDataset, Listing
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.json_file import read_mapping
from trainer.dataset.shared.split_folders import NAMES

LABELS = "annotations"  # the folder of the label files
FARTHEST = 1e9  # pixels
INSIDE = "_annotations.coco.json"  # a label file among its images


@dataclass(kw_only=True)
class CocoFolder(BoxDataset):
    """`root/annotations/instances_train2017.json` and `root/train2017/*.jpg`, and val likewise.

    `train`, `val` and `test` name the label files below `root`. `auto` is the one file
    `annotations/*train*.json`, or `train/_annotations.coco.json`; null is none. `images` is the
    folder of the images below `root`; `auto` is the first that has them of a folder with the last
    part of the label file's name, the folder of the label file, `images`, and `root`.

    Regions with `iscrowd` are crowds. Classes are the categories of the training labels by id.
    """

    root: str = "data"
    train: str | None = "auto"
    val: str | None = "auto"
    test: str | None = "auto"
    images: str = "auto"

    def listing(self) -> Listing:
        """List the images and read their boxes. Raises DataError naming the file."""
        files = {name: self.label_file(name) for name in NAMES}
        if files["train"] is None:
            raise DataError(
                f"no label file for training in {printable(self.root)}: dataset.train names one "
                f"below dataset.root, such as {LABELS}/instances_train2017.json"
            )
        listed: Listing | None = None
        for split, file in files.items():
            if file is not None:
                labels = Labels(file)
                listed = listed or Listing(tuple(labels.classes.values()))
                labels.check_classes(listed.classes)
                folder = self.image_folder(file, labels)
                for image, path in labels.files(folder):
                    listed.add(path, labels.boxes[image], split)
        assert listed is not None  # noqa: S101  (there is a file for training)
        check_once(listed.paths)
        return listed

    def label_file(self, split: str) -> Path | None:
        """The label file of a split, None where there is none. Raises DataError for several."""
        named = getattr(self, split)
        root = Path(self.root)
        if named != "auto":
            return None if named is None else root / named
        found = [
            path
            for name in NAMES[split]
            for path in (*sorted(root.glob(f"{LABELS}/*{name}*.json")), root / name / INSIDE)
            if path.is_file()
        ]
        found = [path for path in dict.fromkeys(found) if not other_kind(path.name)]
        if len(found) > 1:
            names = ", ".join(printable(path.name) for path in found)
            raise DataError(
                f"{printable(root)} has several label files for {split}: {names}; name one with "
                f"dataset.{split}={printable(found[0].relative_to(root))}"
            )
        return found[0] if found else None

    def image_folder(self, file: Path, labels: "Labels") -> Path:
        """The folder of the images. Raises DataError where the first one is in none."""
        root = Path(self.root)
        if self.images != "auto":
            return root / self.images
        name = labels.first_name()
        tried = [root / file.stem.rpartition("_")[2], file.parent, root / "images", root]
        for folder in tried:
            if is_file(folder / name):
                return folder
        raise DataError(
            f"the image {printable(name)} of {printable(file)} is in none of "
            f"{', '.join(printable(folder) for folder in tried)}; set dataset.images to its folder"
        )


class Labels:
    """The categories, images and boxes of a label file. Raises DataError naming it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_mapping(path)
        categories = self.items(content, "categories")
        self.classes = {
            self.value(each, "id", int): self.value(each, "name", str)
            for each in sorted(categories, key=lambda each: self.value(each, "id", int))
        }
        self.require(len(self.classes) == len(categories) > 0, "has no categories or two of an id")
        self.require(
            len({*self.classes.values()}) == len(categories), "has two categories of a name"
        )
        images = self.items(content, "images")
        self.names = {self.key(each): self.value(each, "file_name", str) for each in images}
        self.require(len(self.names) == len(images) > 0, "has no images or two of an id")
        self.number = {kind: place for place, kind in enumerate(self.classes, start=1)}
        self.boxes: dict[object, list[list[float]]] = {key: [] for key in self.names}
        for each in self.items(content, "annotations"):
            self.add(each)

    def add(self, annotation: dict[str, Any]) -> None:
        """Add the box of an annotation to its image."""
        image, kind = (annotation.get(name) for name in ("image_id", "category_id"))
        about = f"annotation {printable(repr(annotation.get('id')))[:40]}"
        known = isinstance(image, (int, str)) and image in self.boxes
        self.require(known, f"{about} is of no image of the file")
        self.require(isinstance(kind, int) and kind in self.number, f"{about} is of no category")
        box = annotation.get("bbox")
        right = isinstance(box, list) and len(box) == 4 and all(map(is_length, box))
        self.require(right, f"{about} has no bbox of four numbers")
        x, y, width, height = box  # pyright: ignore
        crowd = annotation.get("iscrowd", 0) == 1
        label = -self.number[kind] if crowd else self.number[kind]  # pyright: ignore
        self.boxes[image].append([label, x, y, x + width, y + height])  # pyright: ignore

    def check_classes(self, training: tuple[str, ...]) -> None:
        """Raise DataError for other categories than those of the training labels."""
        own = tuple(self.classes.values())
        self.require(own == training, "has other categories than the training labels")

    def first_name(self) -> str:
        """The file name of the first image."""
        return next(iter(self.names.values()))

    def files(self, folder: Path) -> Iterable[tuple[object, str]]:
        """Yield the id of each image and its file. Raises DataError for one that is missing."""
        for image, name in self.names.items():
            path = folder / name
            self.require(is_file(path), f"names {printable(name)}, which {printable(folder)} lacks")
            yield image, str(path)

    def key(self, image: dict[str, Any]) -> int | str:
        """The id of an image."""
        found = image.get("id")
        self.require(isinstance(found, (int, str)), "has an image without an id")
        return found  # pyright: ignore

    def items(self, content: dict[str, Any], name: str) -> list[dict[str, Any]]:
        """A list of mappings."""
        found = content.get(name)
        right = isinstance(found, list) and all(isinstance(each, dict) for each in found)
        self.require(right, f"has no list of mappings called {name}")
        return found  # pyright: ignore

    def value(self, item: dict[str, Any], name: str, kind: type) -> Any:
        """A value of a type."""
        self.require(type(item.get(name)) is kind, f"has an entry without {name} ({kind.__name__})")
        return item[name]

    def require(self, right: bool, fault: str) -> None:
        """Raise DataError, naming the file, unless something is right."""
        if not right:
            raise DataError(f"{printable(self.path)} {fault}")


def is_file(path: Path) -> bool:
    """Whether there is a file of a name, which may be of any length and hold any character."""
    return os.path.isfile(path)  # noqa: PTH113  (Path raises an error for long ones)


def is_length(value: object) -> bool:
    """Whether a value is a finite number that an image may have as a position."""
    return type(value) in (int, float) and abs(value) <= FARTHEST  # pyright: ignore


def other_kind(name: str) -> bool:
    """Whether COCO's file has captions, keypoints or segments rather than boxes."""
    return name.startswith(("captions_", "person_keypoints_", "panoptic_", "stuff_"))


def check_once(paths: list[str]) -> None:
    """Raise DataError for an image that is listed twice: it would be in two splits."""
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise DataError(f"the image {printable(path)} is listed twice; label it once")
        seen.add(path)
