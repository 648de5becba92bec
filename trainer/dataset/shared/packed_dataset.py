"""Base of the data sets whose images lie in larger files: tar shards, parquet and arrow tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.suggest import did_you_mean
from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.class_subset import class_id
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.file_dataset import FileDataset
from trainer.dataset.shared.packed import Packing
from trainer.dataset.shared.table import shown
from trainer.dataset.shared.table_labels import composed


@dataclass
class Packed:
    """The images of a split, and what their labels say: a name, or the number of a class."""

    images: Packing
    labels: Sequence[str | int]


@dataclass(kw_only=True)
class PackedDataset(FileDataset):
    """The settings of images are those of files; see ImageFolder."""

    def raw(
        self, sources: Mapping[str, Packed], classes: tuple[str, ...], notes: tuple[str, ...] = ()
    ) -> Raw:
        """The splits of sources by name, `train` among them. Raises DataError naming an example."""
        if not classes:
            raise DataError("no training example has a label")
        if len(classes) == 1:
            raise DataError(
                f"there is a single class, {shown(classes[0])}; classification needs two or more"
            )
        labels = {split: labels_of(source, classes) for split, source in sources.items()}
        wanted = {split: self.wanted(own, classes) for split, own in labels.items()}
        first = sources["train"].images.select(wanted["train"])
        if not len(first):
            raise DataError("no training example is of the classes in dataset.classes")
        size = self.image_size(first)
        parts: dict[str, Split] = {}
        for split, source in sources.items():
            images, kept = self.images_of(source.images, wanted[split], size)
            own = labels[split][torch.from_numpy(kept)]
            parts[split] = Split(images, own, torch.arange(len(images)))
        about = {"val": parts.get("val"), "decided": self.decided(size), "notes": notes}
        return Raw(parts["train"], parts.get("test"), classes, **about)

    def wanted(self, labels: Tensor, classes: tuple[str, ...]) -> np.ndarray:
        """Which examples are of the classes chosen, bool [M]."""
        if self.classes is None:
            return np.ones(len(labels), bool)
        return np.isin(labels, [class_id(item, classes) for item in self.classes])


def labels_of(source: Packed, classes: tuple[str, ...]) -> Tensor:
    """The classes [M] of examples, by name or by number. Raises DataError for one that is none."""
    known: dict[str | int, int] = {name: i for i, name in enumerate(classes)}
    known |= {i: i for i in range(len(classes))}
    found = [known.get(composed(e) if isinstance(e, str) else e, -1) for e in source.labels]
    if -1 in found:
        row = found.index(-1)
        label, where = source.labels[row], printable(source.images.names[row])
        if isinstance(label, str):
            hint = did_you_mean(label, classes)
            raise DataError(f"{where}: no training example has the label {shown(label)!r}.{hint}")
        if label == -1:
            raise DataError(f"{where}: it has no label; leave such rows out")
        raise DataError(
            f"{where}: the label {label} is not the number of a class; there are "
            f"{len(classes)}, from 0"
        )
    return torch.tensor(found, dtype=torch.int64)
