"""Groups of images, such as those of a patient: their names, and that no two splits share one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.split import Split


def numbered(*names: Sequence[str]) -> tuple[tuple[str, ...], list[Tensor]]:
    """The distinct names, sorted, and their numbers for each sequence of names."""
    distinct = tuple(sorted({name for some in names for name in some}))
    number = {name: i for i, name in enumerate(distinct)}
    return distinct, [torch.tensor([number[n] for n in some], dtype=torch.int64) for some in names]


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
            f"dataset.group: all groups with images of class {', '.join(map(printable, lost))} "
            "have been held out for val or test; a class needs a group in each split"
        )
