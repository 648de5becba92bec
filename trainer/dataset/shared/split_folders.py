"""Which folders of a tree are the training, validation and test split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.core.errors import DataError
from trainer.dataset.shared.class_folders import sub_folders
from trainer.dataset.shared.decode import printable

NAMES = {  # usual names of each split, in lower case
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}
HELD_OUT = ("eval", "evaluation", "extra", "holdout", "hold_out", "predict", "unlabeled")  # too


@dataclass(frozen=True)
class SplitFolders:
    """The folder of each split, and those that look like a split and are not used."""

    train: Path
    val: Path | None = None
    test: Path | None = None
    unused: tuple[Path, ...] = ()


def split_folders(root: Path) -> SplitFolders:
    """The folders of the splits; root itself is train where its folders are the classes.

    A folder `train` is a class unless it and one of val or test all hold folders, or nothing else
    is in root. Raises DataError for two folders of one split, and where splits go by other names.
    """
    folders = {path.name: path for path in sub_folders(root)}
    named: dict[str, list[Path]] = {split: [] for split in NAMES}
    for name, path in folders.items():
        if name.lower() in SPLIT_OF:
            named[SPLIT_OF[name.lower()]].append(path)
    held = named["val"] + named["test"]
    alone = len(folders) == len(held) + len(named["train"])
    filled = bool(held) and all(map(sub_folders, (*named["train"], *held)))
    if not named["train"] or not (alone or filled):
        check_split_names(root, folders)
        return SplitFolders(root)
    check_once(root, named)
    train, val, test = (next(iter(named[split]), None) for split in NAMES)
    assert train is not None  # noqa: S101  (returned above)
    others = [path for path in folders.values() if path not in (train, val, test)]
    return SplitFolders(train, val, test, tuple(p for p in others if looks_like_split(p, train)))


def check_once(root: Path, named: Mapping[str, list[Path]]) -> None:
    """Raise DataError where two folders have names of one split."""
    for split, paths in named.items():
        if len(paths) > 1:
            names = " and ".join(printable(path.name) for path in paths)
            raise DataError(
                f"dataset.root: {printable(root)} has {len(paths)} folders for {split}: {names}; "
                "merge them, or move one out of it"
            )


def looks_like_split(folder: Path, train: Path) -> bool:
    """Whether a folder holds classes of `train` and no others, or has a split's usual name."""
    inside = {path.name for path in sub_folders(folder)}
    same = bool(inside) and inside <= {path.name for path in sub_folders(train)}
    return same or folder.name.lower() in HELD_OUT


def check_split_names(root: Path, folders: dict[str, Path]) -> None:
    """Raise DataError where a folder named as a split and another hold the same class folders."""
    for name in (name for name in folders if SPLIT_OF.get(name.lower()) == "train"):
        inside = {path.name for path in sub_folders(folders[name])}
        for other in folders.keys() - {name} if inside else ():
            within = {path.name for path in sub_folders(folders[other])}
            if within and within <= inside:
                raise DataError(
                    f"dataset.root: {printable(root)} holds {printable(name)} and "
                    f"{printable(other)} with the same class folders; call the folders of the "
                    "splits train, val and test"
                )
