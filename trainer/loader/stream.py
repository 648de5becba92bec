"""Worker processes decode images while the model trains."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut, EpochCut
from trainer.dataset.shared.workers import ReadLog, WatchedLoader, watch_workers
from trainer.loader.base import Feed, Loader, batch_of, interpolate, labels_of
from trainer.loader.shared.device_decode import (
    Decoder,
    check_files,
    decoded,
    device_decoder,
    encoded,
)

Sent = Any  # a tensor [B, C, H, W], or what `encoded` makes of them
Request = tuple[list[list[int]], Cut | None]  # ids [K][B], and how their images are cut


class Stream(Loader):
    """Decodes batches in `workers` processes (0: in this one), each `prefetch` batches ahead.

    Workers only decode and resize; nothing random happens in them, but that they cut pieces out of
    images stored uncut, with the numbers of each row. A batch that takes longer than `timeout`
    seconds is an error; 0 waits forever.

    With `decode=device` workers only read JPEG files, which the GPU decodes.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        prefetch: int = 4,
        timeout: float = 120.0,
        decode: Literal["host", "device"] = "host",
    ) -> None:
        within("loader.workers", workers, "[0, inf)")
        within("loader.prefetch", prefetch, "[1, inf)")
        within("loader.timeout", timeout, "[0, inf)")
        self.workers = workers
        self.prefetch = prefetch
        self.timeout = timeout
        self.decode = decode

    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split; its workers live as long as it does.

        Raises ConfigError where the device is to decode, and cannot.
        """
        if self.decode == "host":
            return StreamFeed(split, device, self)
        images = check_files(split.images)
        return DeviceFeed(split, device, self, device_decoder(images.shape[0], device))


class BatchReader(torch.utils.data.Dataset):
    """Reads the images of a whole batch at once."""

    def __init__(self, images: Images, workers: int) -> None:
        self.images = images
        self.log = ReadLog(images, workers)

    def __getitem__(self, request: Request) -> list[Sent] | str:
        """What is read of the images of ids [K][B], K parts, or the message of a read error."""
        ids, cut = request
        return self.log.attempt(ids[0], lambda: [self.read(part, cut) for part in ids])

    def read(self, ids: list[int], cut: Cut | None) -> Sent:
        """Images uint8 [B, C, H, W]."""
        if cut is None or not isinstance(self.images, UncutFiles):
            return self.images.read(ids)
        return self.images.pieces(ids, cut)


class EncodedReader(BatchReader):
    """Reads the files of a whole batch at once, and does not decode them."""

    def read(self, ids: list[int], cut: Cut | None) -> Sent:
        """Bytes uint8 [N], and numbers int64 [B, 13]; see `encoded`."""
        return encoded(check_files(self.images), ids, cut)


class PlanSampler:
    """The DataLoader's sampler: ids [K][B] of each step, converted to lists one step at a time.

    Lists of all ids of ten million examples would take 0.4 GB.
    """

    def __init__(self) -> None:
        self.plan = Plan.of(torch.empty(0, dtype=torch.int64), 1)
        self.start = 0
        self.cut: EpochCut | None = None

    def __iter__(self) -> Iterator[Request]:
        for step, rows in enumerate(self.plan.step_rows(self.start), self.start):
            yield rows.ids.T.tolist(), None if self.cut is None else self.cut.of_step(step)

    def __len__(self) -> int:
        return self.plan.steps - self.start


class StreamFeed(Feed):
    """Batches from a DataLoader whose workers persist over the epochs."""

    reads: type[BatchReader] = BatchReader

    def __init__(self, split: Split, device: torch.device, loader: Stream) -> None:
        self.labels = split.labels
        self.device = device
        self.sampler = PlanSampler()
        self.reader = self.reads(split.images, loader.workers)
        parallel = loader.workers > 0
        self.loader = WatchedLoader(
            self.reader,
            self.reader.log,
            f"loader.timeout={loader.timeout:g} s",
            sampler=self.sampler,
            num_workers=loader.workers,
            pin_memory=device.type == "cuda",
            prefetch_factor=loader.prefetch if parallel else None,
            persistent_workers=parallel,
            timeout=loader.timeout if parallel else 0,
        )

    def batches(self, plan: Plan, start: int = 0, cut: EpochCut | None = None) -> Iterator[Batch]:
        """The plan's batches from step `start` on.

        Raises DataError if an image cannot be read, or a worker dies or hangs.
        """
        self.sampler.plan, self.sampler.start, self.sampler.cut = plan, start, cut
        steps = zip(
            plan.step_rows(start),
            plan.to(self.device).step_rows(start),
            watch_workers(self.loader),
            strict=True,
        )
        for on_host, rows, images in steps:
            if isinstance(images, str):
                raise DataError(images)
            parts = self.received(images, on_host.ids)
            labels = labels_of(self.labels, on_host.ids).to(self.device, non_blocking=True)
            yield batch_of(interpolate(parts, rows.shares), labels, rows)

    def received(self, sent: list[Sent], ids: Tensor) -> list[Tensor]:
        """K parts uint8 [B, C, H, W] on the device, from what was sent of ids [B, K]."""
        return [part.to(self.device, non_blocking=True) for part in sent]


class DeviceFeed(StreamFeed):
    """The same with JPEG files decoded on the device."""

    reads = EncodedReader

    def __init__(self, split: Split, device: torch.device, loader: Stream, decode: Decoder) -> None:
        super().__init__(split, device, loader)
        self.images = check_files(split.images)
        self.decode = decode

    def received(self, sent: list[Sent], ids: Tensor) -> list[Tensor]:
        """K parts uint8 [B, C, H, W], decoded. Raises DataError naming a damaged file."""
        parts = zip(sent, ids.unbind(1), strict=True)
        return [decoded(part, self.images, rows, self.decode, self.device) for part, rows in parts]
