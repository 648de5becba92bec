"""Training on a subset of a data set's classes."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trainer.core.errors import ConfigError, DataError
from trainer.core.suggest import did_you_mean
from trainer.core.text import enumerated
from trainer.dataset.shared.split import Images, Split


def class_ids(selected: Sequence[int | str], names: tuple[str, ...], train: Split) -> list[int]:
    """The ids of the selected classes, given by name or id.

    Raises ConfigError for an unknown or repeated class, DataError for one with no training example.
    """
    if train.target not in ("class", "multilabel"):
        raise ConfigError(
            f"dataset.classes needs a class label per image; these labels are of type "
            f"{train.target}; set dataset.classes=null"
        )
    ids = [class_id(item, names) for item in selected]
    if len(set(ids)) < len(ids):
        raise ConfigError(f"dataset.classes lists a class twice: {enumerated(map(str, selected))}")
    labels = train.labels[train.ids]
    for i in ids:
        if not (labels == i if train.classed else labels[:, i]).any():
            raise DataError(f"dataset.classes: class {names[i]} has no training examples")
    return ids


def check_several(wanted: Sequence[int | str]) -> None:
    """Raise DataError where a single class is left: every prediction would be right."""
    if len(wanted) == 1:
        raise DataError(
            f"dataset.classes=[{wanted[0]}] leaves one class; classification needs two or more"
        )


def class_id(item: int | str, names: tuple[str, ...]) -> int:
    """The id of a class given by name or, where no class has the number as its name, by id."""
    name = unicodedata.normalize("NFC", str(item))
    if name in names:
        return names.index(name)
    if isinstance(item, int) and 0 <= item < len(names):
        return item
    close = did_you_mean(str(item), list(names))
    raise ConfigError(f"dataset.classes: no class {item} among the {len(names)}.{close}")


def keep_classes(split: Split, kept: Sequence[int]) -> Split:
    """The examples of the classes `kept`, renumbered 0, 1, ...; other labels become −1.

    Of labels bool [M, C] the columns of the classes are kept, and all examples.
    """
    if not split.classed:
        return replace(split, labels=split.labels[:, list(kept)])
    labels = renumbered(split.labels, kept)
    truth = None if split.truth is None else renumbered(split.truth, kept)
    return replace(split, labels=labels, ids=split.ids[labels[split.ids] >= 0], truth=truth)


def renumbered(labels: Tensor, kept: Sequence[int]) -> Tensor:
    """Labels [M] of the classes `kept` as 0, 1, ..., and others as −1."""
    changed = torch.full_like(labels, -1)
    for new, old in enumerate(kept):
        changed[labels == old] = new
    return changed


def drop_others(splits: Sequence[Split]) -> list[Split]:
    """The splits without the rows of other classes, where images are files: none of them is read.

    The rows that are left, those with labels from 0 on, are numbered anew.
    """
    sources: dict[int, Images] = {}
    dropped = []
    for split in splits:
        select = getattr(split.images, "select", None)
        if select is None or not split.classed:
            dropped.append(split)
            continue
        kept = split.labels >= 0
        key = id(split.images)
        if key not in sources:
            sources[key] = select(kept.numpy())
        ids = (kept.cumsum(0) - 1)[split.ids]
        groups, truth = (None if v is None else v[kept] for v in (split.groups, split.truth))
        dropped.append(Split(sources[key], split.labels[kept], ids, groups, truth))
    return dropped
