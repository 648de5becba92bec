"""Cross-validation: the folds that take turns as the validation split."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import ConfigError, DataError
from trainer.core.ranges import within
from trainer.dataset.shared.grouped import assign_groups
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.split import Images, Pixels, Split, by_stratum, pick, strata
from trainer.dataset.shared.texts import Texts


def check_fold(folds: int | None, fold: int | None) -> None:
    """Raise ValueError for a fold that does not exist."""
    if folds is None:
        if fold is not None:
            raise ValueError(
                f"dataset.fold={fold} needs dataset.folds, the number of folds, such as 5"
            )
        return
    within("dataset.folds", folds, "[2, inf)")
    if fold is None:
        every = ",".join(map(str, range(folds)))
        raise ValueError(
            f"dataset.folds={folds} needs dataset.fold, the number of one from 0 to {folds - 1}; "
            f"-m dataset.fold={every} runs all"
        )
    within("dataset.fold", fold, f"[0, {folds - 1}]")


def cut_fold(split: Split, folds: int, fold: int, rng: np.random.Generator) -> tuple[Split, Split]:
    """Fold number `fold` of a split, and the other folds; stratified, and groups stay whole.

    With the same generator state, the folds 0 to `folds` − 1 have each example once. Raises
    DataError for fewer examples, or fewer groups, than folds.
    """
    groups = None if split.groups is None else split.groups[split.ids].numpy()
    number = len(split) if groups is None else len(np.unique(groups))
    if number < folds:
        what = "examples" if groups is None else "groups"
        raise DataError(f"dataset.folds={folds}: there are only {number} {what} to cut folds from")
    if groups is not None:
        part = assign_groups(groups, strata(split), [1 / folds] * folds, rng)
    else:
        part = np.empty(len(split), np.int64)
        part[by_stratum(split, rng)] = np.arange(len(split)) % folds
    return pick(split, part == fold), pick(split, part != fold)


def joined(train: Split, val: Split | None) -> Split:
    """The examples of both splits; where val has a source of its own, its rows follow train's.

    Raises ConfigError for images that cannot be joined.
    """
    if val is None:
        return train
    if val.images is train.images:
        return replace(train, ids=torch.cat([train.ids, val.ids]).sort().values)
    return Split(
        joined_images(train.images, val.images),
        torch.cat([train.labels, val.labels]),
        torch.cat([train.ids, val.ids + len(train.labels)]),
        both(train.groups, val.groups),
        both(train.truth, val.truth),
    )


def joined_images(first: Images, second: Images) -> Images:
    """The images of both sources in one. Raises ConfigError where they cannot be joined."""
    if isinstance(first, Pixels) and isinstance(second, Pixels):
        return Pixels(torch.cat([first.pixels, second.pixels]))
    if isinstance(first, Texts) and isinstance(second, Texts):
        return first.joined(second)
    if isinstance(first, ImageFiles) and type(first) is type(second):
        return first.joined(second)  # pyright: ignore
    raise ConfigError(
        "dataset.folds needs training and validation images of one kind, not "
        f"{type(first).__name__} and {type(second).__name__}"
    )


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """The values of both sources, where both have them."""
    return None if first is None or second is None else torch.cat([first, second])
