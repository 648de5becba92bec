"""Reject labels that no loss can use before training starts, naming the examples.

A loss would silently ignore −100, and a class id out of range aborts a CUDA process.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.text import count
from trainer.dataset.shared.boxes import faults
from trainer.dataset.shared.split import Split

NAMED = 5  # examples listed in an error message
AT_ONCE = 200  # masks in memory at once


def check_labels(split: Split, classes: int) -> None:
    """Raise DataError for class ids outside 0 to classes − 1, and for NaN or infinite targets.

    And for multi-hot labels [M, C] of another number of classes, and for impossible boxes.
    """
    if split.classed:
        labels = split.labels[split.ids]
        wrong = (labels < 0) | (labels >= classes)
        reject(split, wrong, f"is not a class from 0 to {classes - 1}")
    elif split.target == "multilabel":
        if split.labels.shape[1] != classes:
            raise DataError(
                f"the labels are of {split.labels.shape[1]} classes, the data set has {classes}"
            )
    elif split.target == "boxes":
        _, height, width = split.images.shape
        wrong = [faults(split.labels[ids], classes, (height, width)) for ids in chunks(split.ids)]
        reject(split, torch.cat(wrong), "has a box that is empty, outside or of no class")
    elif split.labels.is_floating_point():
        finite = [by_example(split.labels[ids]).isfinite().all(1) for ids in chunks(split.ids)]
        reject(split, ~torch.cat(finite), "is not finite")


def check_masks(split: Split, classes: int, ignored: int | None, name: str = "") -> None:
    """Raise DataError for masks with a value that is neither a class nor `ignored`.

    And for those of a whole split, called `name`, without a pixel that counts.
    """
    highest, counts = [], not len(split)
    for ids in chunks(split.ids):
        masks = split.labels[ids]
        if ignored is not None:
            counts = counts or bool((masks != ignored).any())
            masks = masks.masked_fill(masks == ignored, 0)
        highest.append(by_example(masks).amax(1))
    wrong = torch.cat(highest) >= classes
    fault = f"has a value above {classes - 1} that is not task.ignore_index={ignored}"
    reject(split, wrong, fault)
    if ignored is not None and not counts:
        raise DataError(
            f"every pixel of the {name}{name and ' '}masks is task.ignore_index={ignored}: nothing "
            "can be learnt or measured; check the masks, or set another task.ignore_index"
        )


def check_objects(split: Split) -> None:
    """Raise DataError for the boxes of a whole training split if there are none but crowds."""
    if not any(bool((split.labels[ids][..., 0] > 0).any()) for ids in chunks(split.ids)):
        raise DataError(
            "none of the training images has a box: nothing can be learnt; check the labels"
        )


def by_example(labels: Tensor) -> Tensor:
    """Flatten labels [n, ...] to [n, elements]."""
    return labels.reshape(len(labels), labels[:1].numel() or 1)


def chunks(ids: Tensor) -> Sequence[Tensor]:
    """Split ids [n] into chunks; empty ids give one empty chunk."""
    return ids.split(AT_ONCE)


def reject(split: Split, wrong: Tensor, fault: str) -> None:
    """Raise DataError listing the first of the split's examples that are `wrong` [n], if any."""
    ids = split.ids[wrong].tolist()
    if not ids:
        return
    first = ", ".join(show_label(split, i) for i in ids[:NAMED])
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    raise DataError(f"the label of {count(len(ids), 'example')} {fault}: {first}{more}")


def show_label(split: Split, i: int) -> str:
    """An example and its label, `17 (-1)`; by file name where the images have files."""
    label, paths = split.labels[i], getattr(split.images, "paths", None)
    value = f" ({label.item():g})" if label.numel() == 1 else ""
    return f"{i if paths is None else paths[i]}{value}"
