"""Images in one folder per class, of any mode and size."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainer.core.errors import DataError, complain
from trainer.dataset.base import Dataset, Raw, Split
from trainer.dataset.shared.cache import Cache, folder_within, standard_folder
from trainer.dataset.shared.class_folders import (
    ImageList,
    check_several,
    class_folders,
    describe_left_out,
    split_folders,
)
from trainer.dataset.shared.class_subset import class_id
from trainer.dataset.shared.decode import SUFFIXES, UnreadableError, open_image, printable
from trainer.dataset.shared.image_files import ImageFiles


@dataclass(kw_only=True)
class ImageFolder(Dataset):
    """`root/train/<class>/*`, with `root/val` and `root/test` if they exist; or `root/<class>/*`.

    Folders in a class folder, and links to folders, are searched too. Hidden files and folders are
    left out, and so are files that are not images by their suffix.

    Every image is converted to `channels` channels and to `size` (null: that of the first image):
    scaled to cover it, then centre-cropped. Under `corrupt=raise` a file that cannot be read stops
    the run; under `skip` it is left out, up to 1 % of the files.

    The pixels that loader=memory decodes, the list of unreadable files, and the channel statistics
    are cached for later runs in `trainer`, a folder in `cache` that only its owner may write to;
    `auto` is $XDG_CACHE_HOME or ~/.cache, null disables the cache.
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
        self.left_out: Counter[str] = Counter()
        folder = standard_folder() if self.cache == "auto" else None
        if self.cache not in (None, "auto"):
            folder = folder_within(self.cache)
        self.file_cache = Cache(folder, self.warn)

    def load(self) -> Raw:
        """List the files; open the first if `size` is null. Raises DataError for bad trees."""
        root = Path(self.root)
        train_root, *others = split_folders(root)
        folders = class_folders(train_root)
        check_several(train_root, folders)
        names = tuple(folders)
        wanted = names if self.classes is None else self.chosen(names)
        lists = self.lists(train_root, names, wanted)
        size = self.image_size(lists, wanted)
        train = self.split(lists, wanted, size)
        val, test = (
            None if folder is None else self.split(self.lists(folder, names, wanted), wanted, size)
            for folder in others
        )
        return Raw(train, test, names, val=val, notes=self.notes(root))

    def chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the classes kept, in the tree's order. Raises ConfigError for others."""
        kept = {class_id(item, names) for item in self.classes or ()}
        return tuple(name for i, name in enumerate(names) if i in kept)

    def lists(
        self, folder: Path, names: tuple[str, ...], wanted: tuple[str, ...]
    ) -> dict[str, list[str]]:
        """The image files of each class below a folder, and nothing for a class without a folder.

        Raises DataError for a wanted class whose folder has no images, and, if all classes are
        wanted, for a folder that is none of them.
        """
        folders = class_folders(folder)
        unknown = [printable(name) for name in folders if name not in names]
        if unknown and wanted == names:
            raise DataError(f"{printable(folder)} has classes without training images: {unknown}")
        found: dict[str, list[str]] = {}
        for name in names:
            found[name] = []
            if name not in folders:
                continue
            with suppress(*() if name in wanted else (DataError,)):
                files = ImageList(folders[name])
                found[name] = files.paths
                if name in wanted:
                    self.left_out += files.left_out
                    if not files.paths:
                        raise no_images(folders[name], files.left_out)
        return found

    def split(
        self, lists: dict[str, list[str]], wanted: tuple[str, ...], size: tuple[int, int]
    ) -> Split:
        """All images listed. Under `skip` the unreadable ones of wanted classes are left out."""
        labels = torch.tensor(
            [label for label, files in enumerate(lists.values()) for _ in files], dtype=torch.int64
        )
        paths = list(chain.from_iterable(lists.values()))
        images = ImageFiles(paths, size, self.channels, self.file_cache)
        if self.corrupt == "skip":
            read = np.isin(labels, [i for i, name in enumerate(lists) if name in wanted])
            readable = ~read
            readable[read] = images.select(read).readable()
            images, labels = images.without_skipped(readable), labels[torch.from_numpy(readable)]
        return Split(images, labels, torch.arange(len(images)))

    def image_size(self, lists: dict[str, list[str]], wanted: tuple[str, ...]) -> tuple[int, int]:
        """Height and width of the decoded images: `size`, or those of the first readable image."""
        if isinstance(self.size, list):
            return self.size[0], self.size[-1]
        if self.size is not None:
            return self.size, self.size
        for path in lists[wanted[0]]:
            try:
                with open_image(path) as image:
                    return image.height, image.width
            except UnreadableError:
                if self.corrupt == "raise":
                    raise
        raise DataError(f"none of the images of class {printable(wanted[0])} can be read")

    def notes(self, root: Path) -> tuple[str, ...]:
        """What was left out, in a line."""
        if not self.left_out:
            return ()
        return (f"dataset.root: {describe_left_out(self.left_out)} of {printable(root)} left out",)


def no_images(folder: Path, left_out: Counter[str]) -> DataError:
    """The error for a class folder without images."""
    found = f", but {describe_left_out(left_out)}" if left_out else ""
    known = " ".join(sorted(SUFFIXES))
    return DataError(
        f"class folder {printable(folder)} has no images ({known}){found}; remove it or fill it"
    )
