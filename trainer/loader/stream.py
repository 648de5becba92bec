"""Images decoded by worker processes while the model trains."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.dataset import Images, Split
from trainer.dataset.shared.workers import ReadLog, told, watched
from trainer.loader.base import Feed, Loader, batch_of, interpolate


class Stream(Loader):
    """Workers read and bring images to one size, nothing more: all random numbers come later."""

    def __init__(self, *, workers: int = 2, prefetch: int = 4, timeout: float = 120.0) -> None:
        within("loader.workers", workers, "[0, inf)")
        within("loader.prefetch", prefetch, "[1, inf)")
        within("loader.timeout", timeout, "[0, inf)")
        self.workers = workers
        self.prefetch = prefetch
        self.timeout = timeout

    def open(self, split: Split, device: torch.device) -> Feed:
        """The feed of a split; its workers live as long as it does."""
        return StreamFeed(split, device, self)


class Rows(torch.utils.data.Dataset):
    """Reads a whole batch of ids at once."""

    def __init__(self, images: Images, workers: int) -> None:
        self.images = images
        self.notes = ReadLog(images, workers)

    def __getitem__(self, ids: list[list[int]]) -> list[torch.Tensor] | str:
        """K tensors uint8 [B, C, H, W] for ids [K][B]; what to say where they cannot be read.

        Raised in a worker, an error would come out with a traceback for text.
        """
        self.notes.begin(ids[0])
        try:
            return [self.images.read(part) for part in ids]
        except Exception as error:
            return told(error, self.images, ids[0])
        finally:
            self.notes.begin([])


class Steps:
    """The sampler of the DataLoader: ids [K][B] of each step, in order, listed when they are due.

    At once, those of ten million examples would be 0.4 GB of numbers.
    """

    def __init__(self) -> None:
        self.plan = Plan.of(torch.empty(0, dtype=torch.int64), 1)
        self.start = 0

    def __iter__(self) -> Iterator[list[list[int]]]:
        return (piece.ids.T.tolist() for piece in self.plan.step_rows(self.start))

    def __len__(self) -> int:
        return self.plan.steps - self.start


class StreamFeed(Feed):
    """Batches through a DataLoader whose workers persist over the epochs."""

    def __init__(self, split: Split, device: torch.device, loader: Stream) -> None:
        self.labels = split.labels
        self.device = device
        self.steps = Steps()
        many = loader.workers > 0
        self.loader = DataLoader(
            Rows(split.images, loader.workers),
            sampler=self.steps,
            batch_size=None,
            num_workers=loader.workers,
            pin_memory=device.type == "cuda",
            prefetch_factor=loader.prefetch if many else None,
            persistent_workers=many,
            timeout=loader.timeout if many else 0,
            multiprocessing_context="fork" if many else None,
        )

    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """The plan's batches from step `start` on."""
        self.steps.plan, self.steps.start = plan, start
        pieces, held = plan.step_rows(start), plan.to(self.device).step_rows(start)
        for here, piece, read in zip(pieces, held, watched(self.loader), strict=True):
            if isinstance(read, str):
                raise DataError(read)
            parts = [part.to(self.device, non_blocking=True) for part in read]
            labels = self.labels[here.ids].to(self.device, non_blocking=True)
            yield batch_of(interpolate(parts, piece.shares), labels, piece)
