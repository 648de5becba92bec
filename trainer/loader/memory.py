"""The whole source as uint8 on the device: a batch is one gather."""

import math
from collections.abc import Iterator

import torch

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.split import in_memory
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import EpochCut
from trainer.dataset.shared.workers import read_error
from trainer.loader.base import Feed, Loader, batch_of, interpolate
from trainer.loader.shared.ragged import Ragged, RaggedFeed

AT_ONCE = 256, 2**23  # images, and bytes of images, per message from a worker


class Memory(Loader):
    """Reads a source once and keeps it on the device. Splits of one source share one copy.

    Files are decoded by `workers` processes, or come from the cache of an earlier run.
    """

    def __init__(self, *, workers: int = 2) -> None:
        within("loader.workers", workers, "[0, inf)")
        self.workers = workers
        self.sources: dict[tuple[int, str], tuple[Images, torch.Tensor | Ragged]] = {}

    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split. Raises DataError if an image cannot be read."""
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
            ids = rows.ids  # index_select takes a quarter of the time of indexing
            parts = [self.pixels.index_select(0, ids[:, k]) for k in range(ids.shape[1])]
            labels = self.labels.index_select(0, ids.flatten())
            labels = labels.view(*ids.shape, *self.labels.shape[1:])
            yield batch_of(interpolate(parts, rows.shares), labels, rows)


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


def read_all(images: Images, workers: int) -> torch.Tensor:
    """Read all images of a source as uint8 [M, C, H, W], in at most `workers` processes."""

    def read_chunk(ids: range) -> torch.Tensor:
        try:
            return images.read(ids)
        except Exception as error:
            raise DataError(read_error(error, images, ids)) from error

    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    number, size = AT_ONCE
    chunk = max(1, min(number, size // math.prod(images.shape)))
    for ids, part in in_chunks(read_chunk, len(images), chunk, workers):
        pixels[ids.start : ids.stop] = part
    return pixels
