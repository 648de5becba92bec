"""Groups of images, such as those of a patient: their names, and that no two splits share one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from unicodedata import normalize

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.text import enumerated
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.split import Split


def numbered(*names: Sequence[str]) -> tuple[tuple[str, ...], list[Tensor]]:
    """The distinct names, sorted, and their numbers for each sequence of names."""
    distinct = tuple(sorted({name for some in names for name in some}))
    number = {name: i for i, name in enumerate(distinct)}
    return distinct, [torch.tensor([number[n] for n in some], dtype=torch.int64) for some in names]


def by_folder(
    train: Split, val: Split | None, test: Split | None
) -> tuple[tuple[str, ...], tuple[Split, Split | None, Split | None]]:
    """The names of the folders that hold the files, and the splits with these as groups.

    Raises DataError where every class folder holds its files itself, and so is a group.
    """
    names, (first, second, third) = numbered(*map(folders_of, (train, val, test)))
    pairs = torch.stack([first, train.labels]).unique(dim=1)
    if pairs.shape[1] == len(first.unique()) == len(train.labels.unique()):
        raise DataError(
            "dataset.group=folder: each class is one group, since its files are in one folder; "
            "it needs folders in the class folders: <class>/<patient>/*"
        )
    return names, (
        replace(train, groups=first),
        None if val is None else replace(val, groups=second),
        None if test is None else replace(test, groups=third),
    )


def folders_of(split: Split | None) -> list[str]:
    """The name of the folder that each file of a source is in, composed (NFC)."""
    paths = [] if split is None else getattr(split.images, "paths", ())
    return [normalize("NFC", os.path.basename(os.path.dirname(path))) for path in paths]  # noqa: PTH119, PTH120


def check_apart(splits: Mapping[str, Split | None], names: tuple[str, ...]) -> None:
    """Raise DataError where two splits share a group, and name one."""
    found: dict[int, str] = {}
    for name, split in splits.items():
        if split is None or split.groups is None:
            continue
        for group in split.groups[split.ids].unique().tolist():
            other = found.setdefault(group, name)
            if other != name:
                raise DataError(
                    f"dataset.group: {printable(names[group])} is in {other} and in {name}; a "
                    "group must be in one split: move its images, or set dataset.group=null"
                )


def check_classes_left(train: Split, before: Split, classes: tuple[str, ...]) -> None:
    """Raise DataError where whole groups have taken every example of a class out of training."""
    if train.groups is None or not train.classed:
        return
    kept, had = (set(s.labels[s.ids].tolist()) for s in (train, before))
    lost = [classes[c] for c in sorted(had - kept)]
    if lost:
        raise DataError(
            f"dataset.group: all groups with images of class {enumerated(map(printable, lost))} "
            "have been held out for val or test; a class needs a group in each split"
        )
