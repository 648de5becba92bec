"""Batches from images in a file, read by threads while the model trains."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import torch

from trainer.core.errors import complain
from trainer.loader.base import Feed, batch_of, interpolate, labels_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from trainer.core.batch import Batch
    from trainer.core.plan import Plan
    from trainer.dataset import Split
    from trainer.dataset.shared.disk_images import DiskImages
    from trainer.dataset.shared.windows import EpochCut

THREADS = 2  # one checks while the disk reads for the other
AHEAD = 4, 2**27  # batches, and bytes of them, that are read before the model needs them


class DiskFeed(Feed):
    """Batches of one split: pixels from the file, labels [M, ...] from the device."""

    def __init__(self, kept: DiskImages, split: Split, device: torch.device) -> None:
        self.kept = kept
        self.images = split.images
        self.labels = split.labels.to(device)
        self.device = device
        self.warned = False

    def batches(self, plan: Plan, start: int = 0, cut: EpochCut | None = None) -> Iterator[Batch]:
        """The plan's batches from step `start` on. Raises DataError if an image cannot be read."""
        ids = (rows.ids for rows in plan.step_rows(start))
        with closing(self.read_ahead(ids)) as read:
            steps = zip(plan.to(self.device).step_rows(start), read, strict=True)
            for rows, images in steps:
                parts = [part.to(self.device, non_blocking=True) for part in images]
                yield batch_of(
                    interpolate(parts, rows.shares), labels_of(self.labels, rows.ids), rows
                )

    def read_ahead(self, batches: Iterator[Tensor]) -> Generator[list[Tensor], None, None]:
        """Yield K tensors uint8 [B, C, H, W] for the ids [B, K] of each batch."""
        most, size = AHEAD
        pool = ThreadPoolExecutor(THREADS, "image reader")
        pending: deque[Future[list[Tensor]]] = deque()
        try:
            for ids in batches:
                pending.append(pool.submit(self.read, ids, self.room_for(ids)))
                batch = max(1, ids.numel() * self.kept.size)
                while len(pending) > max(1, min(most, size // batch)):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def room_for(self, ids: Tensor) -> list[Tensor]:
        """Tensors for the images of ids [B, K]: K of uint8 [B, C, H, W], pinned for CUDA.

        Made in the main thread, whose allocator uses freed memory again: see trainer.run.memory.
        """
        shape, pinned = (len(ids), *self.images.shape), self.device.type == "cuda"
        return [torch.empty(shape, dtype=torch.uint8, pin_memory=pinned) for _ in ids.unbind(1)]

    def read(self, ids: Tensor, out: list[Tensor]) -> list[Tensor]:
        """Read the images of ids [B, K] into K tensors. One that is damaged is decoded again."""
        for part, rows in zip(out, ids.T.numpy(), strict=True):
            for place in self.kept.read_into(part.numpy(), rows):
                self.warn(int(rows[place]))
                part[place] = self.images.read([int(rows[place])])[0]
        return out

    def warn(self, i: int) -> None:
        """Say once that image `i` is damaged."""
        if not self.warned:
            self.warned = True
            complain(
                f"loader.cache=mmap: image {i} is damaged in {self.kept.path}, and such are "
                "decoded again each time; delete that file to have it made anew"
            )
