"""Tar shards of images and labels, in the format of WebDataset."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.base import Raw
from trainer.dataset.shared.cache import Files
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.packed import Packing
from trainer.dataset.shared.packed_dataset import Packed, PackedDataset
from trainer.dataset.shared.parallel import available_cores, in_chunks
from trainer.dataset.shared.shards import Shard, by_split, fetched, named
from trainer.dataset.shared.table import read_text, shown
from trainer.dataset.shared.table_labels import composed, ordered
from trainer.dataset.shared.tar_shards import Samples, read_samples

SPLITS = ("train", "val", "test")
AUTO = "auto"
DIGITS = 9  # of the number of a class


@dataclass(kw_only=True)
class Webdataset(PackedDataset):
    """The samples of tar shards: `0001.jpg` with its class in `0001.cls`, `.json` or `.txt`.

    `train`, `val` and `test` name the shards of a split, below `root` or by URL: a pattern such as
    `train-{0000..0146}.tar` or `train-*.tar`, or a list of them; null: none, and the split is cut
    as for any data set. With `auto` they are the tar files below `root`, by the word for a split in
    their path. With `download` a shard by URL is fetched once, into the folder of `cache`; `pipe:`
    is refused.

    `image_field` is the end of the name that an image has, `auto` the only one that is an image's;
    `label_field` that of the label, `json.label` being the entry `label` of a JSON object. Classes
    are the distinct labels of the training shards. With `class_names`, a file with a name a line,
    labels are numbers of lines, from 0.

    Shards are listed once, by their headers, and the list is cached. So a batch reads its images
    at their places in any order, and every sampler, miner and process count works as for files. The
    dataset id of an example is its place in the shards, in order; its path is shard and key.
    `size`, `channels`, `background`, `corrupt` and `cache` are as for image_folder.
    """

    root: str = "data"
    train: str | list[str] = AUTO
    val: str | list[str] | None = AUTO
    test: str | list[str] | None = AUTO
    image_field: str = AUTO
    label_field: str = AUTO
    class_names: str | None = None
    download: bool = False

    def load(self) -> Raw:
        """List the shards. Raises DataError naming shard and sample for what is wrong."""
        names = {split: own for split, own in self.shard_names().items() if own}
        sources = {split: self.source(own) for split, own in names.items()}
        return self.raw(sources, self.classes_of(sources["train"].labels))

    def shard_names(self) -> dict[str, list[str]]:
        """The files or URLs of each split. Raises ConfigError or DataError."""
        root, given = Path(self.root), {"train": self.train, "val": self.val, "test": self.test}
        found = by_split(root, ".tar") if self.train == AUTO else {}
        names: dict[str, list[str]] = {}
        for split, pattern in given.items():
            if pattern == AUTO or pattern is None:
                names[split] = found.get(split, []) if pattern == AUTO else []
            else:
                patterns = [pattern] if isinstance(pattern, str) else pattern
                names[split] = named(patterns, root, f"dataset.{split}")
        everywhere = [name for own in names.values() for name in own]
        if len(set(everywhere)) < len(everywhere):
            raise DataError("dataset.train, dataset.val and dataset.test share a shard")
        if not names["train"]:
            raise DataError("dataset.train names no shard")
        return names

    def source(self, names: list[str]) -> Packed:
        """The samples of shards. Raises DataError."""
        shards = fetched(names, self.file_cache, download=self.download)
        samples = self.listed(shards)
        images = samples.packing([s.name for s in shards], [s.path for s in shards])
        if self.class_names is None:
            return Packed(images, samples.labels)
        return Packed(images, [number(label, images, i) for i, label in enumerate(samples.labels)])

    def listed(self, shards: list[Shard]) -> Samples:
        """The samples of the shards, by their headers, or as an earlier run has cached them."""
        made: list[bytes] = []

        def content() -> bytes:
            if not made:
                made.append(json.dumps(vars(self.read_shards(shards))).encode())
            return made[0]

        def as_bytes(data: bytes) -> Tensor:
            return torch.frombuffer(bytearray(data), dtype=torch.uint8)

        files = Files([shard.path for shard in shards], share_folder=True)
        about = f"{self.image_field} {self.label_field}"
        cached = self.file_cache.get_or_make
        length = cached(
            f"length {about}", files, (8,), lambda: as_bytes(len(content()).to_bytes(8, "little"))
        )
        shape = (int.from_bytes(length.numpy().tobytes(), "little"),)
        found = cached(f"samples {about}", files, shape, lambda: as_bytes(content()))
        return Samples(**json.loads(found.numpy().tobytes()))

    def read_shards(self, shards: list[Shard]) -> Samples:
        """The samples of the shards in order, read in parallel. Raises DataError."""

        def read(numbers: range) -> list[Samples]:
            return [self.samples_in(shards[n]) for n in numbers]

        whole = Samples([], [], [], [], [])
        for numbers, found in in_chunks(read, len(shards), 1, available_cores()):
            for n, samples in zip(numbers, found, strict=True):
                samples.shards = [n] * len(samples.keys)
                for field, values in vars(samples).items():
                    getattr(whole, field).extend(values)
        return whole

    def samples_in(self, shard: Shard) -> Samples:
        """The samples of a shard. Raises DataError, which says where one by URL lies."""
        try:
            return read_samples(shard.path, shard.name, self.image_field, self.label_field)
        except DataError as error:
            if shard.path == shard.name:
                raise
            raise DataError(f"{error}; delete {shard.path} to fetch it anew") from error

    def classes_of(self, labels: Sequence[str | int]) -> tuple[str, ...]:
        """The names of the classes, by those of training labels. Raises DataError."""
        if self.class_names is None:
            return ordered(composed(str(label)) for label in labels)
        lines = read_text(Path(self.class_names), "dataset.class_names").splitlines()
        classes = tuple(composed(line.strip()) for line in lines if line.strip())
        if len(set(classes)) < len(classes):
            raise DataError(f"dataset.class_names={printable(self.class_names)}: a name twice")
        return classes


def number(label: str, images: Packing, i: int) -> int:
    """The number that a label is. Raises DataError for one that is none."""
    if not (label.isascii() and label.isdecimal() and len(label) <= DIGITS):
        raise DataError(
            f"{printable(images.names[i])}: the label {shown(label)!r} is not the number of a line "
            "of dataset.class_names"
        )
    return int(label)
