"""The processes that read images: what is said of one that raises, dies, or says nothing.

Each notes what it reads where the main process sees it, so that an error names the examples.
"""

import os
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import RawArray
from types import FrameType
from typing import Any, TypeVar
from weakref import WeakSet

from torch.utils.data import get_worker_info

from trainer.core.errors import DataError
from trainer.dataset.shared.split import Images

T = TypeVar("T")

NAMED = 5  # examples that an error names
DEAD = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.+)")
SILENT = re.compile(r"DataLoader timed out after ([\d.]+) seconds")


class ReadLog:
    """What each worker of a loader is reading: its process, how many examples, the first of them.

    Workers are forked, so that they write into the memory that is made here.
    """

    def __init__(self, images: Images | None, workers: int) -> None:
        self.images = images
        self.rows = [RawArray("q", 2 + NAMED) for _ in range(workers)]
        every.add(self)

    def begin(self, ids: Sequence[int]) -> None:
        """Note, in a worker, what it reads from now on; [] when it is done."""
        worker = get_worker_info()
        if worker is not None:
            first = list(ids[:NAMED])
            self.rows[worker.id][:] = [os.getpid(), len(ids), *first, *[0] * (NAMED - len(first))]

    def read_by(self, pids: Sequence[int] | None = None) -> list[str]:
        """What those processes were reading, or all of them."""
        held = [row[:] for row in self.rows if pids is None or row[0] in pids]
        return [named(self.images, row[2:], row[1]) for row in held if row[1]]


every: WeakSet[ReadLog] = WeakSet()
over: set[int] = set()  # processes whose end has been told


def named(images: Images | None, ids: Sequence[int], number: int | None = None) -> str:
    """The first of some examples, by their files where they have some."""
    paths = getattr(images, "paths", None)
    first = ids[: min(NAMED, number or len(ids))]
    what = "examples" if paths is None else "files"
    said = ", ".join(str(i if paths is None else paths[i]) for i in first)
    more = (number or len(ids)) - len(first)
    return f"{what} {said}{f' and {more} more' if more > 0 else ''}"


def told(error: Exception, images: Images | None, ids: Sequence[int]) -> str:
    """What is said of an error in reading some examples."""
    if isinstance(error, DataError):
        return str(error)
    reason = (str(error).splitlines() or [""])[0]
    return f"{named(images, ids)} cannot be read: {type(error).__name__}: {reason}"


def watched(results: Iterable[T]) -> Iterator[T]:
    """The results of a DataLoader. Raises DataError where a worker has died or says nothing."""
    iterator = None
    try:
        iterator = iter(results)
        listen()
        yield from iterator
    except (RuntimeError, OSError, EOFError) as error:
        # Where a pipe told of a death, its signal is still to come: while the loader is taken down.
        over.update(process.pid for process in getattr(iterator, "_workers", ()))
        raise ended(error) from error


def listen() -> None:
    """Let the signal of a worker's end, which may come at any moment, raise DataError too."""
    handler: Any = signal.getsignal(signal.SIGCHLD)
    here = threading.current_thread() is threading.main_thread()
    if not here or not callable(handler) or hasattr(handler, "worded"):
        return

    def worded(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except RuntimeError as error:
            # Each later signal, of another's end, tells of it again. While a loader is taken down
            # nobody would catch it: who waits for the dead process finds it gone.
            if not known(error) and not taking_down(frame):
                raise ended(error) from error

    worded.worded = True  # pyright: ignore
    signal.signal(signal.SIGCHLD, worded)


def taking_down(frame: FrameType | None) -> bool:
    """Whether a DataLoader is ending its processes in the code that a signal has interrupted."""
    while frame is not None and frame.f_code.co_name != "_shutdown_workers":
        frame = frame.f_back
    return frame is not None


def known(error: Exception) -> bool:
    """Whether an error is of processes whose end has been told."""
    dead = DEAD.search(str(error))
    return dead is not None and over.issuperset(numbers(dead[1]))


def numbers(text: str) -> list[int]:
    """`12, 13` as numbers."""
    return [int(number) for number in text.split(",")]


def ended(error: Exception) -> Exception:
    """What to raise for what torch says of its workers; other errors as they are."""
    text = str(error)
    pids = None
    if dead := DEAD.search(text):
        pids, how = numbers(dead[1]), dead[2].strip().rstrip(".")
        over.update(pids)
    elif silent := SILENT.search(text):
        how = f"has said nothing for {float(silent[1]):g} s (loader.timeout)"
    elif isinstance(error, (OSError, EOFError)):
        how = f"is gone ({type(error).__name__})"  # while it handed a batch over
    else:
        return error
    reading = "; ".join(what for notes in every for what in notes.read_by(pids))
    return DataError(
        f"a process of the loader {how}{reading and ' while it read '}{reading}; "
        "with loader.workers=0 this process reads"
    )
