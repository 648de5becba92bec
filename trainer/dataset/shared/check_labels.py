"""Labels that no loss could take are refused before training, with the examples that have them.

A loss would ignore −100 without a word, and a class that does not exist ends a GPU's process.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.shared.split import Split

NAMED = 5  # examples that an error names
AT_ONCE = 200  # masks


def check_labels(split: Split, classes: int) -> None:
    """Raise DataError for class ids that are none of 0 to classes − 1, and for NaN or infinity."""
    if split.classed:
        labels = split.labels[split.ids]
        wrong = (labels < 0) | (labels >= classes)
        refuse(split, wrong, f"is no class from 0 to {classes - 1}")
    elif split.labels.is_floating_point():
        finite = [rows(split.labels[ids]).isfinite().all(1) for ids in chunks(split.ids)]
        refuse(split, ~torch.cat(finite), "is not finite")


def check_masks(split: Split, classes: int, ignored: int | None) -> None:
    """Raise DataError for masks with a value that is neither a class nor the one to be ignored."""
    highest = []
    for ids in chunks(split.ids):
        masks = split.labels[ids]
        if ignored is not None:
            masks = masks.masked_fill(masks == ignored, 0)
        highest.append(rows(masks).amax(1))
    wrong = torch.cat(highest) >= classes
    todo = f"has a value above {classes - 1} that is not task.ignore_index={ignored}"
    refuse(split, wrong, todo)


def rows(labels: Tensor) -> Tensor:
    """Labels [n, ...] as [n, elements]."""
    return labels.reshape(len(labels), labels[:1].numel() or 1)


def chunks(ids: Tensor) -> Sequence[Tensor]:
    """Ids [n] in parts; one part where there are none."""
    return ids.split(AT_ONCE)


def refuse(split: Split, wrong: Tensor, what: str) -> None:
    """Raise DataError where some of the split's labels are wrong [n]."""
    ids = split.ids[wrong].tolist()
    if not ids:
        return
    said = ", ".join(shown(split, i) for i in ids[:NAMED])
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    raise DataError(f"the label of {len(ids)} examples {what}: {said}{more}")


def shown(split: Split, i: int) -> str:
    """An example with its label: `17 (-1)`, with its file where it has one."""
    label, paths = split.labels[i], getattr(split.images, "paths", None)
    value = f" ({label.item():g})" if label.numel() == 1 else ""
    return f"{i if paths is None else paths[i]}{value}"
