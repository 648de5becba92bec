"""The whole set as uint8 on the device: a batch is one gather."""

import math
from collections.abc import Iterator

import torch

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.workers import told
from trainer.loader.base import Feed, Loader, batch_of, interpolate

AT_ONCE = 1024, 2**23  # images, and bytes of them, that a process decodes between two messages


class Memory(Loader):
    """Read once, kept on the device. Splits of one source share one copy.

    Files are decoded by `workers` processes, or are as a run before has decoded them.
    """

    def __init__(self, *, workers: int = 2) -> None:
        within("loader.workers", workers, "[0, inf)")
        self.workers = workers
        self.held: dict[tuple[int, str], tuple[Images, torch.Tensor]] = {}

    def open(self, split: Split, device: torch.device) -> Feed:
        """The feed of a split."""
        key = id(split.images), str(device)
        if key not in self.held:
            self.held[key] = split.images, pixels_of(split.images, self.workers).to(device)
        return MemoryFeed(self.held[key][1], split.labels.to(device), device)


class MemoryFeed(Feed):
    """Batches by gathering rows of pixels [M, C, H, W] and labels [M, ...]."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, device: torch.device) -> None:
        self.pixels = pixels
        self.labels = labels
        self.device = device

    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """The plan's batches from step `start` on."""
        plan = plan.to(self.device)
        for piece in plan.step_rows(start):
            parts = [self.pixels.index_select(0, ids) for ids in piece.ids.unbind(1)]
            yield batch_of(interpolate(parts, piece.shares), self.labels[piece.ids], piece)


def pixels_of(images: Images, workers: int) -> torch.Tensor:
    """All images of a source as uint8 [M, C, H, W], or as a run before has decoded them."""
    held = getattr(images, "pixels", None)
    if held is not None:
        return held
    shape = (len(images), *images.shape)

    def read(ids: range) -> torch.Tensor:
        try:
            return images.read(ids)
        except Exception as error:
            raise DataError(told(error, images, ids)) from error

    def read_all() -> torch.Tensor:
        pixels = torch.empty(shape, dtype=torch.uint8)
        number, size = AT_ONCE
        chunk = max(1, min(number, size // math.prod(images.shape)))
        for ids, part in in_chunks(read, len(images), chunk, workers):
            pixels[ids.start : ids.stop] = part
        return pixels

    recall = getattr(images, "recall", None)
    return read_all() if recall is None else recall("pixels", shape, read_all)
