"""Images in one folder per class, of any mode and size."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import torch

from trainer.core.errors import DataError, complain
from trainer.dataset.base import Dataset, Raw, Split
from trainer.dataset.shared.cache import Cache, standard_folder
from trainer.dataset.shared.image_files import SUFFIXES, ImageFiles, open_image


@dataclass(kw_only=True)
class ImageFolder(Dataset):
    """`root/train/<class>/*` with `root/val` and `root/test` where they are; or `root/<class>/*`.

    Every image is brought to `channels` channels and to `size` (the first image's where null):
    scaled so that it covers the size, then cut in the middle. A file that cannot be read ends the
    run under `corrupt=raise`; under `skip` it is left out, and more than 1 % of them is an error.

    What loader=memory decodes, which files cannot be read, and the statistics of the channels are
    kept in the folder `cache` for the next run: `auto` is $XDG_CACHE_HOME/trainer or
    ~/.cache/trainer, null keeps nothing.
    """

    root: str = "data"
    size: int | list[int] | None = None
    channels: int = 3
    corrupt: Literal["raise", "skip"] = "raise"
    cache: str | None = "auto"
    warn: Callable[[str], None] = complain

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"dataset.channels must be 1 or 3, got {self.channels}")
        sides = self.size if isinstance(self.size, list) else [self.size]
        if len(sides) not in (1, 2) or any(side is not None and side < 1 for side in sides):
            raise ValueError(f"dataset.size must be a side or [height, width], got {self.size}")
        folder = standard_folder() if self.cache == "auto" else self.cache
        self.kept = Cache(None if folder is None else Path(folder).expanduser(), self.warn)

    def load(self) -> Raw:
        """List the files; nothing is decoded yet but the first."""
        root = Path(self.root)
        train_root = root / "train" if (root / "train").is_dir() else root
        classes = class_names(train_root)
        size = self.size_of_images(train_root, classes)
        parts: dict[str, Split | None] = {"train": self.split(train_root, classes, size)}
        for name in ("val", "test"):
            folder = root / name
            there = train_root != root and folder.is_dir()
            parts[name] = self.split(folder, classes, size) if there else None
        train = parts["train"]
        if train is None:
            raise DataError(f"no training images under {train_root}")
        return Raw(train, parts["test"], classes, val=parts["val"])

    def split(self, folder: Path, classes: tuple[str, ...], size: tuple[int, int]) -> Split:
        """All images of a folder of class folders."""
        unknown = set(class_names(folder)) - set(classes)
        if unknown:
            raise DataError(f"{folder} has classes that are not trained on: {sorted(unknown)}")
        listed = [image_files(folder / name) for name in classes]
        paths = list(chain.from_iterable(listed))
        labels = torch.tensor([label for label, files in enumerate(listed) for _ in files])
        images = ImageFiles(paths, size, self.channels, self.kept)
        if self.corrupt == "skip":
            sound = images.sound()
            images, labels = images.only(sound), labels[sound]
        return Split(images, labels, torch.arange(len(images)))

    def size_of_images(self, folder: Path, classes: tuple[str, ...]) -> tuple[int, int]:
        """Height and width that all images are brought to."""
        if isinstance(self.size, list):
            return self.size[0], self.size[-1]
        if self.size is not None:
            return self.size, self.size
        for path in image_files(folder / classes[0]):
            try:
                with open_image(path) as image:
                    return image.height, image.width
            except DataError:
                if self.corrupt == "raise":
                    raise
        raise DataError(f"no image can be read in {folder / classes[0]}")


def class_names(folder: Path) -> tuple[str, ...]:
    """Names of the class folders, sorted. Raises DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"dataset.root: no folder {folder}; give the folder of the class folders")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not names:
        raise DataError(f"{folder} has no class folders")
    return tuple(names)


def image_files(folder: Path) -> list[Path]:
    """Image files below a class folder, sorted. Raises DataError where there are none."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"class folder {folder} has no images")
    return files
