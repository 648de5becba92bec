"""Process many examples in parallel worker processes."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import Dataset

from trainer.core.errors import DataError
from trainer.dataset.shared.workers import ReadLog, WatchedLoader, watch_workers

T = TypeVar("T")

LONGEST = 600.0  # seconds that a chunk may take


class Chunks(Dataset[T | str]):
    """The result of `work` on each chunk of the numbers 0 to N - 1, or the message of its error."""

    def __init__(self, work: Callable[[range], T], number: int, size: int, workers: int) -> None:
        self.work = work
        self.number = number
        self.size = size
        self.log = ReadLog(None, workers)

    def __len__(self) -> int:
        return (self.number + self.size - 1) // self.size

    def __getitem__(self, chunk: int) -> T | str:
        first = chunk * self.size
        ids = range(first, min(first + self.size, self.number))
        return self.log.attempt(ids, lambda: self.work(ids))


def in_chunks(
    work: Callable[[range], T], number: int, size: int, workers: int
) -> Iterator[tuple[range, T]]:
    """Yield the ids 0 to `number` - 1 in chunks of `size`, in order, each with its `work` result.

    Runs in at most `workers` processes, no more than there are cores or chunks, or in this process
    if that leaves fewer than two. Raises DataError if `work` raises.
    """
    chunks = Chunks(work, number, size, workers)
    processes = min(workers, available_cores(), len(chunks))
    if processes < 2:
        results = map(chunks.__getitem__, range(len(chunks)))
    else:
        limit = f"{LONGEST:g} s"
        loader = WatchedLoader(chunks, chunks.log, limit, num_workers=processes, timeout=LONGEST)
        results = watch_workers(loader)
    for chunk, result in enumerate(results):
        if isinstance(result, str):
            raise DataError(result)
        yield range(chunk * size, min((chunk + 1) * size, number)), result


def available_cores() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
