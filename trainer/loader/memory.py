"""The whole source as uint8, decoded once: on the device, or in a file."""

import math
from collections.abc import Iterator
from typing import Literal

import torch

from trainer.core.batch import Batch
from trainer.core.errors import ConfigError, DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.disk_images import DiskImages
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.split import in_memory
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import EpochCut
from trainer.dataset.shared.workers import read_error
from trainer.loader.base import Feed, Loader, batch_of, interpolate, labels_of
from trainer.loader.shared.disk_feed import DiskFeed
from trainer.loader.shared.ragged import Ragged, RaggedFeed

AT_ONCE = 256, 2**23  # images, and bytes of images, per message from a worker


class Memory(Loader):
    """Reads a source once. Splits of one source share one copy.

    Files are decoded by `workers` processes, or come from the cache of an earlier run. With
    `cache=ram` the pixels are kept on the device; with `mmap` they stay in a file of the folder
    `dataset.cache`, of which the system keeps in memory what it has room for, and batches are read
    a little ahead.
    """

    def __init__(self, *, workers: int = 2, cache: Literal["ram", "mmap"] = "ram") -> None:
        within("loader.workers", workers, "[0, inf)")
        self.workers = workers
        self.cache = cache
        self.sources: dict[tuple[int, str], tuple[Images, torch.Tensor | Ragged]] = {}
        self.kept: dict[int, tuple[Images, DiskImages]] = {}

    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split. Raises DataError if an image cannot be read.

        With `cache=mmap`, raises ConfigError for images that are in memory already, or without a
        cache folder, and DiskError where the disk is full.
        """
        if self.cache == "mmap":
            key = id(split.images)
            if key not in self.kept:
                self.kept[key] = split.images, kept_of(split.images, self.workers)
            return DiskFeed(self.kept[key][1], split, device)
        key = id(split.images), str(device)
        if key not in self.sources:
            self.sources[key] = split.images, self.read(split.images, device)
        source, labels = self.sources[key][1], split.labels.to(device)
        if isinstance(source, Ragged):
            return RaggedFeed(source, labels, device)
        return MemoryFeed(source, labels, device)

    def read(self, images: Images, device: torch.device) -> torch.Tensor | Ragged:
        """All images of a source, on a device."""
        if isinstance(images, UncutFiles):
            return Ragged(images, self.workers, device)
        return pixels_of(images, self.workers).to(device)


class MemoryFeed(Feed):
    """Batches gathered on the device from pixels [M, C, H, W] and labels [M, ...]."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, device: torch.device) -> None:
        self.pixels = pixels
        self.labels = labels
        self.device = device

    def batches(self, plan: Plan, start: int = 0, cut: EpochCut | None = None) -> Iterator[Batch]:
        """The plan's batches from step `start` on; there is nothing to cut."""
        plan = plan.to(self.device)
        for rows in plan.step_rows(start):
            ids = rows.ids
            parts = [self.pixels.index_select(0, ids[:, k]) for k in range(ids.shape[1])]
            yield batch_of(interpolate(parts, rows.shares), labels_of(self.labels, ids), rows)


def pixels_of(images: Images, workers: int) -> torch.Tensor:
    """All images of a source as uint8 [M, C, H, W], from memory, the cache or the files.

    Raises DataError if an image cannot be read.
    """
    pixels = in_memory(images)
    if pixels is not None:
        return pixels
    shape = (len(images), *images.shape)
    get_or_make = getattr(images, "get_or_make", None)
    if get_or_make is None:
        return read_all(images, workers)
    return get_or_make("pixels", shape, lambda: read_all(images, workers))


def kept_of(images: Images, workers: int) -> DiskImages:
    """All images of a source in a file of the cache, made if need be. Raises ConfigError."""
    if isinstance(images, UncutFiles):
        raise ConfigError(
            "loader.cache=mmap keeps images of one size, and dataset.fit=uncut has many; set "
            "loader=stream, which cuts pieces out of the files, or dataset.fit=cover"
        )
    keep_or_make = getattr(images, "keep_or_make", None)
    if keep_or_make is None:
        raise ConfigError(
            "loader.cache=mmap is for images in files, which are decoded into the cache; those of "
            "this data set are in memory already: leave it out"
        )
    return keep_or_make(lambda: read_chunks(images, workers))


def read_all(images: Images, workers: int) -> torch.Tensor:
    """Read all images of a source as uint8 [M, C, H, W], in at most `workers` processes."""
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    for ids, part in read_chunks(images, workers):
        pixels[ids.start : ids.stop] = part
    return pixels


def read_chunks(images: Images, workers: int) -> Iterator[tuple[range, torch.Tensor]]:
    """Yield the images of a source in order, as ids and uint8 [n, C, H, W]. Raises DataError."""

    def read_chunk(ids: range) -> torch.Tensor:
        try:
            return images.read(ids)
        except Exception as error:
            raise DataError(read_error(error, images, ids)) from error

    number, size = AT_ONCE
    chunk = max(1, min(number, size // math.prod(images.shape)))
    yield from in_chunks(read_chunk, len(images), chunk, workers)
