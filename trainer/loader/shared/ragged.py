"""Images of many sizes in memory, one after another, of which pieces are cut out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut, EpochCut, middle, piece
from trainer.dataset.shared.workers import read_error
from trainer.loader.base import Feed, batch_of, interpolate, labels_of

AT_ONCE = 2**25  # bytes of images per message from a worker: a photograph may have more


class Ragged:
    """All images of a source: uint8 of [H, W, C] each, on a device, without gaps."""

    def __init__(self, images: UncutFiles, workers: int, device: torch.device) -> None:
        """Read them, in at most `workers` processes, or take them from the cache."""
        self.channels, *self.seen = images.shape
        self.sizes: list[tuple[int, int]] = [(h, w) for h, w in images.stored_sizes.tolist()]
        self.ends = ends_of(images).tolist()
        made = images.get_or_make("ragged", (self.ends[-1],), lambda: read_all(images, workers))
        self.pixels = made.to(device)

    def image(self, i: int) -> Tensor:
        """Image i, uint8 [C, H, W]."""
        pixels = self.pixels[self.ends[i] : self.ends[i + 1]]
        return pixels.view(*self.sizes[i], self.channels).permute(2, 0, 1)

    def read(self, ids: list[int], cut: Cut | None) -> Tensor:
        """The pieces uint8 [len(ids), C, h, w] of images, or the middle of each."""
        sizes, (height, width) = [self.sizes[i] for i in ids], self.seen
        if cut is None:
            windows = [middle(size, (height, width)) for size in sizes]
        else:
            windows = cut.windows(sizes)
        return torch.stack([piece(self.image(i), w) for i, w in zip(ids, windows, strict=True)])


class RaggedFeed(Feed):
    """Batches of pieces cut on the device, and labels [M, ...] that are on it."""

    def __init__(self, source: Ragged, labels: Tensor, device: torch.device) -> None:
        self.source = source
        self.labels = labels
        self.device = device

    def batches(self, plan: Plan, start: int = 0, cut: EpochCut | None = None) -> Iterator[Batch]:
        """The plan's batches from step `start` on."""
        steps = zip(plan.step_rows(start), plan.to(self.device).step_rows(start), strict=True)
        for step, (on_host, rows) in enumerate(steps, start):
            own = None if cut is None else cut.of_step(step)
            parts = [self.source.read(ids.tolist(), own) for ids in on_host.ids.unbind(1)]
            yield batch_of(interpolate(parts, rows.shares), labels_of(self.labels, rows.ids), rows)


def ends_of(images: UncutFiles) -> np.ndarray:
    """Where each image begins, and the last one ends, in bytes: int64 [M + 1]."""
    sizes = images.stored_sizes.astype(np.int64)
    return np.concatenate([[0], (sizes.prod(1) * images.shape[0]).cumsum()])


def read_all(images: UncutFiles, workers: int) -> Tensor:
    """All images of a source as bytes, uint8 [N]. Raises DataError if one cannot be read."""
    ends = ends_of(images)
    largest = int(np.diff(ends).max())

    def read_chunk(ids: range) -> Tensor:
        try:
            return torch.cat([images.picture(i).permute(1, 2, 0).reshape(-1) for i in ids])
        except Exception as error:
            raise DataError(read_error(error, images, ids)) from error

    pixels = torch.empty(int(ends[-1]), dtype=torch.uint8)
    chunk = max(1, min(256, AT_ONCE // largest))
    for ids, part in in_chunks(read_chunk, len(images), chunk, workers):
        pixels[ends[ids.start] : ends[ids.stop]] = part
    return pixels
