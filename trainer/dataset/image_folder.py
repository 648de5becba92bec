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
from trainer.dataset.shared.image_files import ImageFiles, list_images, open_image


@dataclass(kw_only=True)
class ImageFolder(Dataset):
    """`root/train/<class>/*`, with `root/val` and `root/test` if they exist; or `root/<class>/*`.

    Every image is converted to `channels` channels and to `size` (null: that of the first image):
    scaled to cover it, then centre-cropped. Under `corrupt=raise` a file that cannot be read stops
    the run; under `skip` it is left out, up to 1 % of the files.

    The pixels that loader=memory decodes, the list of unreadable files, and the channel statistics
    are cached in the folder `cache` for later runs: `auto` is $XDG_CACHE_HOME/trainer or
    ~/.cache/trainer, null disables the cache.
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
        self.file_cache = Cache(None if folder is None else Path(folder).expanduser(), self.warn)

    def load(self) -> Raw:
        """List the files; open the first if `size` is null. Raises DataError for bad trees."""
        root = Path(self.root)
        train_root = root / "train" if (root / "train").is_dir() else root
        classes = class_names(train_root)
        size = self.image_size(train_root, classes)
        train = self.split(train_root, classes, size)
        val, test = (
            self.split(root / name, classes, size)
            if train_root != root and (root / name).is_dir()
            else None
            for name in ("val", "test")
        )
        return Raw(train, test, classes, val=val)

    def split(self, folder: Path, classes: tuple[str, ...], size: tuple[int, int]) -> Split:
        """All images below a folder. Raises DataError for a class folder not in `classes`."""
        unknown = set(class_names(folder)) - set(classes)
        if unknown:
            raise DataError(f"{folder} has classes without training images: {sorted(unknown)}")
        files = [list_images(folder / name) for name in classes]
        paths = list(chain.from_iterable(files))
        labels = torch.tensor([label for label, part in enumerate(files) for _ in part])
        images = ImageFiles(paths, size, self.channels, self.file_cache)
        if self.corrupt == "skip":
            readable = images.readable()
            images, labels = images.select(readable), labels[readable]
        return Split(images, labels, torch.arange(len(images)))

    def image_size(self, folder: Path, classes: tuple[str, ...]) -> tuple[int, int]:
        """Height and width of the decoded images: `size`, or those of the first readable image."""
        if isinstance(self.size, list):
            return self.size[0], self.size[-1]
        if self.size is not None:
            return self.size, self.size
        for path in list_images(folder / classes[0]):
            try:
                with open_image(path) as image:
                    return image.height, image.width
            except DataError:
                if self.corrupt == "raise":
                    raise
        raise DataError(f"none of the images in {folder / classes[0]} can be read")


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the class folders, sorted. Raises DataError if there are none."""
    if not folder.is_dir():
        raise DataError(
            f"dataset.root: no folder {folder}; give the folder that contains the class folders"
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not names:
        raise DataError(f"dataset.root: {folder} has no class folders; expected {folder}/<class>/*")
    return tuple(names)
