"""Some of the classes of a data set."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from trainer.core.errors import ConfigError, DataError
from trainer.core.suggest import did_you_mean
from trainer.dataset.shared.split import Split


def chosen(wanted: Sequence[int | str], names: tuple[str, ...], train: Split) -> list[int]:
    """The numbers of the wanted classes.

    Raises ConfigError, and DataError where there is nothing to train one of them on.
    """
    if not train.classed:
        raise ConfigError(f"dataset.classes needs a class for each image, not a {train.target}")
    numbers = [number_of(item, names) for item in wanted]
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"dataset.classes names a class twice: {', '.join(map(str, wanted))}")
    for number in numbers:
        if not (train.labels[train.ids] == number).any():
            raise DataError(f"dataset.classes: no training example of class {names[number]}")
    return numbers


def number_of(item: int | str, names: tuple[str, ...]) -> int:
    """The number of the class of a name, or of a number that is no class's name."""
    if str(item) in names:
        return names.index(str(item))
    if isinstance(item, int) and 0 <= item < len(names):
        return item
    close = did_you_mean(str(item), list(names))
    raise ConfigError(f"dataset.classes: no class {item} among the {len(names)}.{close}")


def restrict(split: Split, kept: Sequence[int]) -> Split:
    """The examples of the classes `kept`, which become 0, 1, ...; labels of the others are −1."""
    labels = torch.full_like(split.labels, -1)
    for new, old in enumerate(kept):
        labels[split.labels == old] = new
    return replace(split, labels=labels, ids=split.ids[labels[split.ids] >= 0])
