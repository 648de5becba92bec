"""Images in one folder per class, of any mode and size."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainer.core.errors import DataError
from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.class_folders import (
    ImageList,
    check_several,
    class_folders,
    describe_left_out,
)
from trainer.dataset.shared.class_subset import class_id
from trainer.dataset.shared.decode import SUFFIXES, printable
from trainer.dataset.shared.file_dataset import FileDataset
from trainer.dataset.shared.groups import by_folder
from trainer.dataset.shared.split_folders import split_folders


@dataclass(kw_only=True)
class ImageFolder(FileDataset):
    """`root/train/<class>/*`, with `root/val` and `root/test` if they exist; or `root/<class>/*`.

    `training`; `valid`, `validation` and `dev`; and `testing` are names of these splits, too.
    Folders in a class folder, and links to folders, are searched too. Hidden files and folders are
    left out, and so are files that are not images by their suffix.

    Every image is turned upright by its EXIF record, converted to `channels` channels and to
    `size`: scaled to cover it, then centre-cropped. `auto` is a square whose side is the median
    short side of 200 images spread over the training files, at most 224; null is the size of the
    first image. Transparent pixels lie on `background`, the name of a colour or [r, g, b]; null is
    black. Under `corrupt=raise` a file that cannot be read stops the run; under `skip` it is left
    out, up to 1 % of the files.

    With `group=folder` files in folders of one name, as in `<class>/<patient>/*`, are a group.

    The pixels that loader=memory decodes, the list of unreadable files, and the channel statistics
    are cached for later runs in `trainer`, a folder in `cache` that only its owner may write to;
    `auto` is $XDG_CACHE_HOME or ~/.cache, null disables the cache.
    """

    root: str = "data"
    group: Literal["folder"] | None = None
    left_out: Counter[str] = field(init=False, default_factory=Counter)

    def load(self) -> Raw:
        """List the files; read the headers of some for `size`. Raises DataError for bad trees."""
        splits = split_folders(Path(self.root))
        folders = class_folders(splits.train)
        check_several(splits.train, folders)
        names = tuple(folders)
        wanted = names if self.classes is None else self.chosen(names)
        lists = self.lists(splits.train, names, wanted)
        size = self.image_size([path for name in wanted for path in lists[name]])
        train = self.split(lists, wanted, size)
        val, test = (
            None if folder is None else self.split(self.lists(folder, names, wanted), wanted, size)
            for folder in (splits.val, splits.test)
        )
        groups: tuple[str, ...] = ()
        if self.group == "folder":
            groups, (train, val, test) = by_folder(train, val, test)
        return Raw(
            train,
            test,
            names,
            val=val,
            notes=self.notes(splits.unused),
            groups=groups,
            decided=self.decided(size),
        )

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
        counts = torch.tensor([len(files) for files in lists.values()])
        labels = torch.arange(len(lists)).repeat_interleave(counts)
        paths = list(chain.from_iterable(lists.values()))
        wanted_labels = [label for label, name in enumerate(lists) if name in wanted]
        images, kept = self.images_of(paths, np.isin(labels, wanted_labels), size)
        labels = labels[torch.from_numpy(kept)]
        return Split(images, labels, torch.arange(len(images)))

    def notes(self, unused: tuple[Path, ...]) -> tuple[str, ...]:
        """What was left out, and which folders look like a split and are not used, a line each."""
        notes: list[str] = []
        if self.left_out:
            left_out = describe_left_out(self.left_out)
            notes.append(f"dataset.root: {left_out} of {printable(Path(self.root))} left out")
        if unused:
            names = ", ".join(printable(path.name) for path in unused)
            notes.append(
                f"dataset.root: not used, though they look like splits: {names}; the splits are "
                "called train, val and test"
            )
        return tuple(notes)


def no_images(folder: Path, left_out: Counter[str]) -> DataError:
    """The error for a class folder without images."""
    found = f", but {describe_left_out(left_out)}" if left_out else ""
    known = " ".join(sorted(SUFFIXES))
    return DataError(
        f"class folder {printable(folder)} has no images ({known}){found}; remove it or fill it"
    )
