"""Tar shards as WebDataset writes them: the files of a sample stand together and share a key.

Of a member `a/0001.seg.png`, `a/0001` is the key, and `seg.png` the field
(https://github.com/webdataset/webdataset#the-webdataset-format). A shard is untrusted data: only
its headers and labels are read, members are never unpacked, and one that is not a regular file is
left out. An image is read at its place in the shard.
"""

import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from trainer.core.errors import DataError
from trainer.core.text import enumerated
from trainer.dataset.shared.decode import LARGEST, SUFFIXES, printable
from trainer.dataset.shared.packed import Packing
from trainer.dataset.shared.regular_file import open_regular

MEMBER = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")  # key and field
BLOCK = tarfile.BLOCKSIZE
LONGEST_LABEL = 2**20  # bytes of the file that has it
LONGEST_HEADER = 2**20  # bytes of one: names and records of a member
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}
LABELS = "cls", "json.label", "json.cls", "txt"  # fields in which label_field=auto looks


@dataclass
class Samples:
    """The samples of some shards, in order: where each image is, and the text of its label."""

    keys: list[str]
    shards: list[int]  # the shard of each, by number
    offsets: list[int]  # of the image in it, in bytes
    sizes: list[int]
    labels: list[str]

    def packing(self, names: Sequence[str], paths: Sequence[str]) -> "TarImages":
        """The images of the shards that are called `names` and lie at `paths`."""
        called = np.array(
            [f"{names[s]}/{key}" for s, key in zip(self.shards, self.keys, strict=True)]
        )
        places = np.array([self.shards, self.offsets, self.sizes], np.int64).T
        return TarImages(called, list(paths), list(names), places)


class TarImages(Packing):
    """Images in tar files: of `places` int64 [M, 3], the number of the file, offset and size.

    `shards` are the names of the files, with which the images' names begin.
    """

    def __init__(
        self, names: np.ndarray, files: list[str], shards: list[str], places: np.ndarray
    ) -> None:
        super().__init__(names, files)
        self.shards = shards
        self.where = places

    def keys(self) -> list[str]:
        """The file name of the shard and the key in it: `train-0001.tar/0001`."""
        folders = [len(shard.rpartition("/")[0]) for shard in self.shards]
        pairs = zip(self.names.tolist(), self.where[:, 0].tolist(), strict=True)
        return [name[folders[shard] :].removeprefix("/") for name, shard in pairs]

    def read(self, i: int) -> bytes:
        """The encoded image i. Raises OSError or ValueError."""
        shard, offset, size = self.where[i].tolist()
        if size > LARGEST:
            raise ValueError(f"it has {size:,} bytes; files of {LARGEST:,} are read at most")
        with open_regular(self.files[shard]) as file:
            data = os.pread(file.fileno(), size, offset)
        if len(data) < size:
            raise ValueError("its shard has been cut off since it was listed")
        return data

    def places(self) -> bytes:
        """The files, offsets and sizes, and the keys."""
        return self.where.tobytes() + "\n".join(self.keys()).encode("utf-8", "surrogateescape")

    def select(self, rows: np.ndarray) -> "TarImages":
        """The images of some rows, a bool array [M]."""
        return TarImages(self.names[rows], self.files, self.shards, self.where[rows])

    def joined(self, other: "TarImages") -> "TarImages":  # pyright: ignore
        """These images, and the `other` ones behind them."""
        moved = other.where + np.array([len(self.files), 0, 0])
        names = np.concatenate([self.names, other.names])
        places = np.concatenate([self.where, moved])
        return TarImages(names, self.files + other.files, self.shards + other.shards, places)


class Headers:
    """An open tar file, of which only headers are read, each at once: as `tarfile` does.

    One may claim to have gigabytes of records, which may be zeros that take no room on the disk.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """The next bytes. Raises tarfile.ReadError for too many."""
        if size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)


class Sample:
    """The files of one sample while a shard is read: offset and size by field."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.fields: dict[str, tuple[int, int]] = {}


def read_samples(path: str, name: str, image_field: str, label_field: str) -> Samples:
    """The samples of one shard, which messages call `name`. Raises DataError.

    `auto` is the one field with an image's suffix, and the first of `LABELS` that there is.
    """
    found = Samples([], [], [], [], [])
    try:
        with open_regular(path) as file:
            for sample in samples_of(file, name):
                at = sample.fields[image_of(sample, image_field, name)]
                found.keys.append(sample.key)
                found.shards.append(0)
                found.offsets.append(at[0])
                found.sizes.append(at[1])
                found.labels.append(label_of(sample, label_field, name, file))
    except OSError as error:
        raise DataError(f"{printable(name)} cannot be read: {error.strerror or error}") from error
    if not found.keys:
        raise DataError(f"{printable(name)} has no samples: files such as 0001.jpg with 0001.cls")
    return found


def samples_of(file: BinaryIO, name: str) -> list[Sample]:
    """The samples of an open tar file. Raises DataError for one that is cut off, or no tar."""
    start = file.read(2)
    file.seek(0)
    if start in COMPRESSED:
        raise DataError(
            f"{printable(name)} is compressed with {COMPRESSED[start]}, so its images cannot be "
            "read at their places; unpack it to a plain .tar (images are compressed already)"
        )
    samples: list[Sample] = []
    try:
        with tarfile.open(fileobj=Headers(file), mode="r:") as tar:  # pyright: ignore
            for member in tar:
                add_member(samples, member, name)
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(f"{printable(name)} is damaged, or no tar file: {error}") from error
    file.seek(end)
    if file.read(BLOCK) != bytes(BLOCK):
        raise DataError(
            f"{printable(name)} is damaged or cut off: no end mark at byte {end:,}; fetch it again"
        )
    ((twice, number),) = Counter(sample.key for sample in samples).most_common(1) or [("", 0)]
    if number > 1:
        raise DataError(
            f"{printable(name)} has the key {printable(twice)} twice; the files of a sample must "
            "stand together, and each sample needs a key of its own"
        )
    return samples


def add_member(samples: list[Sample], member: tarfile.TarInfo, name: str) -> None:
    """Note a member of a shard; those that belong to no sample are left out."""
    match = MEMBER.fullmatch(member.name.removeprefix("./"))
    if match is None or not member.isreg() or member.sparse is not None:
        return
    key, field = match[1], match[2].lower()
    if not samples or samples[-1].key != key:
        samples.append(Sample(key))
    if field in samples[-1].fields:
        raise DataError(f"{printable(name)} has {printable(member.name)} twice")
    samples[-1].fields[field] = member.offset_data, member.size


def image_of(sample: Sample, field: str, name: str) -> str:
    """The field that has a sample's image. Raises DataError."""
    if field != "auto":
        if field in sample.fields:
            return field
        raise without(sample, name, f"no field {printable(field)} (dataset.image_field)")
    images = [each for each in sample.fields if f".{each.rpartition('.')[2]}" in SUFFIXES]
    if len(images) == 1:
        return images[0]
    if images:
        several = enumerated(map(printable, images))
        raise without(sample, name, f"images in {several}; set dataset.image_field to one")
    raise without(sample, name, "no image")


def label_of(sample: Sample, field: str, name: str, file: BinaryIO) -> str:
    """The text of a sample's label. Raises DataError."""

    def content(field: str) -> str:
        offset, size = sample.fields[field]
        if size > LONGEST_LABEL:
            raise without(sample, name, f"{size:,} bytes in its field {printable(field)}")
        try:
            return os.pread(file.fileno(), size, offset).decode().strip()
        except UnicodeDecodeError as error:
            raise without(sample, name, f"no text in its field {printable(field)}") from error

    for each in LABELS if field == "auto" else (field,):
        outer, _, path = each.partition(".")
        if each in sample.fields:
            text = content(each)
        elif path and outer in sample.fields:
            text = value_at(content(outer), path)
        else:
            continue
        if text:
            return text
    told = " (dataset.label_field)"
    wanted = f"no label in {enumerated(LABELS)}" if field == "auto" else f"no {printable(field)}"
    raise without(sample, name, wanted + told)


def value_at(text: str, path: str) -> str:
    """The text or whole number at a dotted path of a JSON object; empty where there is none."""
    value = parsed(text, json.loads)
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def parsed(text: str, parse: Callable[[str], Any]) -> Any:
    """What a text says; None if it cannot be parsed."""
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return None


def without(sample: Sample, name: str, what: str) -> DataError:
    """The error for a sample that lacks something."""
    fields = ", ".join(map(printable, sample.fields))
    return DataError(
        f"{printable(name)}: sample {printable(sample.key)} has {what}; it has {fields}"
    )
