"""Worker processes decode images while the model trains."""

from collections.abc import Iterator

import torch

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut, EpochCut
from trainer.dataset.shared.workers import ReadLog, WatchedLoader, watch_workers
from trainer.loader.base import Feed, Loader, batch_of, interpolate

Request = tuple[list[list[int]], Cut | None]  # ids [K][B], and how their images are cut


class Stream(Loader):
    """Decodes batches in `workers` processes (0: in this one), each `prefetch` batches ahead.

    Workers only decode and resize; nothing random happens in them, but that they cut pieces out of
    images stored uncut, with the numbers of each row. A batch that takes longer than `timeout`
    seconds is an error; 0 waits forever.
    """

    def __init__(self, *, workers: int = 2, prefetch: int = 4, timeout: float = 120.0) -> None:
        within("loader.workers", workers, "[0, inf)")
        within("loader.prefetch", prefetch, "[1, inf)")
        within("loader.timeout", timeout, "[0, inf)")
        self.workers = workers
        self.prefetch = prefetch
        self.timeout = timeout

    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split; its workers live as long as it does."""
        return StreamFeed(split, device, self)


class BatchReader(torch.utils.data.Dataset):
    """Reads the images of a whole batch at once."""

    def __init__(self, images: Images, workers: int) -> None:
        self.images = images
        self.log = ReadLog(images, workers)

    def __getitem__(self, request: Request) -> list[torch.Tensor] | str:
        """K tensors uint8 [B, C, H, W] for ids [K][B], or the message of a read error."""
        ids, cut = request

        def read(part: list[int]) -> torch.Tensor:
            if cut is None or not isinstance(self.images, UncutFiles):
                return self.images.read(part)
            return self.images.pieces(part, cut)

        return self.log.attempt(ids[0], lambda: [read(part) for part in ids])


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

    def __init__(self, split: Split, device: torch.device, loader: Stream) -> None:
        self.labels = split.labels
        self.device = device
        self.sampler = PlanSampler()
        self.reader = BatchReader(split.images, loader.workers)
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
            parts = [part.to(self.device, non_blocking=True) for part in images]
            labels = self.labels[on_host.ids].to(self.device, non_blocking=True)
            yield batch_of(interpolate(parts, rows.shares), labels, rows)
