"""Rejects augmentations that cut out other pieces than the model sees, before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.augmentation.base import Geometric
from trainer.core.errors import ConfigError
from trainer.core.option import option_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.augmentation import Augmentation
    from trainer.dataset import Data


def check_crop(data: Data, augmentations: Sequence[Augmentation]) -> None:
    """Raise ConfigError where an augmentation cuts out another size than the model's."""
    for each in augmentations:
        size = each.size if isinstance(each, Geometric) else None
        if size is None or (data.kind == "image" and size == data.crop):
            continue
        asked, name = f"{size[0]}x{size[1]}", option_of(each)
        crop = "null" if data.crop is None else f"{data.crop[0]}x{data.crop[1]}"
        raise ConfigError(
            f"augmentation.{name}.size={asked} and dataset.crop={crop}: the model sees images of "
            "one size; set both to the same side"
        )


def check_uncut(augmentations: Sequence[Augmentation]) -> None:
    """Raise ConfigError where pieces of images stored uncut are not cut out first, or not at all.

    The loader cuts them, before any other augmentation.
    """
    sized = [i for i, each in enumerate(augmentations) if getattr(each, "size", None) is not None]
    if sized and sized[0] > 0:
        name = option_of(augmentations[sized[0]])
        raise ConfigError(
            f"augmentation={name} cuts pieces out of images stored uncut (dataset.fit=uncut), and "
            f"so must come first; put it first, augmentation=[{name},...]"
        )
    first = augmentations[0] if sized else None
    if isinstance(first, Geometric) and type(first).windows is Geometric.windows:
        raise ConfigError(
            f"augmentation={option_of(first)} cannot cut pieces out of images stored uncut: it "
            "does not define windows; take dataset.fit=cover"
        )
