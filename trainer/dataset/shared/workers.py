"""DataLoader workers: one that raises, dies or hangs becomes a DataError that names its examples.

torch reports a dead worker through a SIGCHLD handler, which raises inside whatever code the signal
interrupts: an optimizer step, or the shutdown of another loader. It is uninstalled here, and the
workers are checked while a result is awaited.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import RawArray
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from typing import Any, TypeVar

from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from trainer.core.errors import DataError
from trainer.dataset.shared.parcel import packed, shortage, unpacked
from trainer.dataset.shared.split import Images

T = TypeVar("T")

IN_MAIN = "loader.workers=0 reads in the main process"
NAMED = 5  # examples listed in an error message
CHECK_EVERY = 1.0  # seconds
EXITING = 0.2  # seconds from the closing of a worker's pipes to its exit
TIMED_OUT = "DataLoader timed out"  # how torch's message begins
UNSENT = 70  # exit code of a worker that cannot send what it read
LONGEST_FAULT = 200  # bytes of the reason


class ReadLog:
    """Records what each worker of a loader is reading: its pid, how many examples, the first five.

    The rows are shared memory, so they must exist before the workers are forked.
    """

    def __init__(self, images: Images | None, workers: int) -> None:
        self.images = images
        self.reader = os.getpid()  # the process that starts the workers
        try:
            self.rows = [RawArray("q", 2 + NAMED) for _ in range(workers)]
            self.fault = RawArray("c", LONGEST_FAULT)
        except OSError as error:
            if (lack := shortage(error)) is None:
                raise
            raise DataError(f"{workers} loader workers need {lack}; {IN_MAIN}") from error

    def attempt(self, ids: Sequence[int], read: Callable[[], T]) -> T | str:
        """Call `read`, recording that it reads `ids`; return an error as its message.

        An error raised in a worker would reach the main process with a traceback as its text.
        """
        self.record(ids)
        try:
            return read()
        except Exception as error:
            return read_error(error, self.images, ids)
        finally:
            self.record([])

    def start_worker(self, _: int) -> None:
        """In a worker: end it, and record why, if it cannot send what it read.

        Python prints a traceback then, and the main process waits for ever. End it at once if the
        main process has ended since it was forked: torch would wait for that for ever.
        """
        if os.getppid() != self.reader:
            os._exit(UNSENT)

        def end(error: Exception, _: object) -> None:
            self.fault.value = str(error).encode()[:LONGEST_FAULT]
            os._exit(UNSENT)

        Queue._on_queue_feeder_error = staticmethod(end)  # pyright: ignore

    def record(self, ids: Sequence[int]) -> None:
        """Record the examples that this worker starts to read; the main process records nothing."""
        worker = get_worker_info()
        if worker is not None:
            first = list(ids[:NAMED])
            self.rows[worker.id][:] = [os.getpid(), len(ids), *first, *[0] * (NAMED - len(first))]

    def read_by(self, pids: Sequence[int | None]) -> list[str]:
        """Describe what each of the workers `pids` is reading; idle ones are left out."""
        rows = [row[:] for row in self.rows if row[0] in pids]
        return [list_examples(self.images, row[2:], row[1]) for row in rows if row[1]]


def list_examples(images: Images | None, ids: Sequence[int], number: int | None = None) -> str:
    """List the first of `number` examples, by file name where the images have files."""
    paths = getattr(images, "paths", None)
    first = ids[: min(NAMED, number or len(ids))]
    noun = "examples" if paths is None else "files"
    names = ", ".join(str(i if paths is None else paths[i]) for i in first)
    more = (number or len(ids)) - len(first)
    return f"{noun} {names}{f' and {more} more' if more > 0 else ''}"


def read_error(error: Exception, images: Images | None, ids: Sequence[int]) -> str:
    """The one-line message for an error raised while reading examples `ids`."""
    if isinstance(error, DataError):
        return str(error)
    reason = (str(error).splitlines() or [""])[0]
    return f"{list_examples(images, ids)} cannot be read: {type(error).__name__}: {reason}"


class WatchedIterator(_MultiProcessingDataLoaderIter):
    """torch's iterator, checking its workers every CHECK_EVERY seconds of waiting for a result."""

    def __init__(self, loader: "WatchedLoader[Any]") -> None:
        handler = signal.getsignal(signal.SIGCHLD)
        self.started = False
        loader.log.reader = os.getpid()
        try:
            super().__init__(loader)
            self.started = True
        finally:
            if not self.started:  # such as the second of two workers
                for worker in getattr(self, "_workers", ()):
                    worker.kill()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)

    def __del__(self) -> None:
        if self.started:
            super().__del__()

    def _try_get_data(self, timeout: float = CHECK_EVERY) -> Any:
        """Whether a result came in time, and the result. Raises RuntimeError for a dead worker."""
        waited, success, result = 0.0, False, None
        while not success and waited < timeout:
            success, result = super()._try_get_data(min(CHECK_EVERY, timeout - waited))
            waited += CHECK_EVERY
        return success, result


class WatchedLoader(DataLoader[T]):
    """A DataLoader whose iterators notice dead workers; see `watch_workers`.

    `limit` names the time-out in messages.
    """

    def __init__(self, dataset: TorchDataset[T], log: ReadLog, limit: str, **settings: Any) -> None:
        super().__init__(
            dataset,
            batch_size=None,
            collate_fn=packed,
            worker_init_fn=log.start_worker,
            multiprocessing_context="fork" if log.rows else None,
            **settings,
        )
        self.log = log
        self.limit = limit

    def _get_iterator(self) -> Any:
        if self.num_workers == 0:
            return super()._get_iterator()
        return WatchedIterator(self)

    def check_worker_number_rationality(self) -> None:
        """Leave out torch's warning of more workers than cores, ten lines about no harm."""


def watch_workers(loader: WatchedLoader[T]) -> Iterator[T]:
    """Yield a loader's results.

    Raises DataError within seconds if a worker dies, and after the loader's timeout if one hangs.
    """
    iterator: Any = loader._iterator  # of the previous epoch, if its workers persist
    try:
        iterator = iter(loader)
        for result in iterator:
            yield unpacked(result)
    except (RuntimeError, OSError, EOFError) as error:
        workers = getattr(iterator, "_workers", ())
        message = worker_failure(error, workers, loader.limit, loader.log)
        if message is None:
            raise
        raise DataError(message) from error


def worker_failure(
    error: Exception, workers: Sequence[BaseProcess], limit: str, log: ReadLog
) -> str | None:
    """The message for an error raised by a DataLoader; None if it is not about the workers."""
    lack = shortage(error)
    if lack is not None:
        return f"the loader workers need {lack}; raise the limit, or {IN_MAIN}"
    timed_out = str(error).startswith(TIMED_OUT)
    if not timed_out:
        for worker in workers:
            worker.join(EXITING)
    dead = [worker for worker in workers if worker.exitcode is not None]
    if any(worker.exitcode == UNSENT for worker in dead):
        fault = log.fault.value.decode(errors="replace")
        lack = shortage(OSError(fault))
        why = f"needs {lack}; raise the limit, or" if lack else f"fails ({fault});"
        return f"a loader worker cannot send what it read: that {why} {IN_MAIN}"
    if dead:
        how = " and ".join(dict.fromkeys(exit_reason(worker.exitcode or 0) for worker in dead))
    elif timed_out:
        how = f"has not responded for {limit}"
    elif isinstance(error, (OSError, EOFError)):
        how = f"closed its connection ({type(error).__name__})"
    else:
        return None
    reading = "; ".join(log.read_by([worker.pid for worker in dead or workers]))
    return f"a loader worker {how}{reading and ' while reading '}{reading}; {IN_MAIN}"


def exit_reason(code: int) -> str:
    """How a process ended, from its exit code; −9 is SIGKILL."""
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
