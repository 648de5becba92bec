"""Work on many examples by several processes at once."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

from trainer.core.errors import DataError
from trainer.dataset.shared.workers import ReadLog, told, watched

T = TypeVar("T")


class Chunks(Dataset[T | str]):
    """The result for each chunk of the numbers 0 to N - 1; what to say of an error instead of it.

    Raised in a worker, it would come out with a traceback for text.
    """

    def __init__(self, work: Callable[[range], T], number: int, size: int, workers: int) -> None:
        self.work = work
        self.number = number
        self.size = size
        self.notes = ReadLog(None, workers)

    def __len__(self) -> int:
        return (self.number + self.size - 1) // self.size

    def __getitem__(self, chunk: int) -> T | str:
        first = chunk * self.size
        ids = range(first, min(first + self.size, self.number))
        self.notes.begin(ids)
        try:
            return self.work(ids)
        except Exception as error:
            return told(error, None, ids)
        finally:
            self.notes.begin([])


def in_chunks(
    work: Callable[[range], T], number: int, size: int, workers: int
) -> Iterator[tuple[range, T]]:
    """The results of `work` on chunks of `size` of `number` examples, in order.

    By at most `workers` processes, one for each core and chunk; by this one where that makes one
    or none. Raises DataError where the work does.
    """
    chunks = Chunks(work, number, size, workers)
    many = min(workers, available_cores(), len(chunks))
    if many < 2:
        results = map(chunks.__getitem__, range(len(chunks)))
    else:
        results = watched(
            DataLoader(chunks, batch_size=None, num_workers=many, multiprocessing_context="fork")
        )
    for chunk, result in enumerate(results):
        if isinstance(result, str):
            raise DataError(result)
        yield range(chunk * size, min((chunk + 1) * size, number)), result


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
