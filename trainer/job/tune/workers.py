"""Several processes that share a search: which trial is whose.

With a shared folder as `job.storage` the study's journal and the trials' folders are in it. A
process takes its turn to draw a trial, and holds a lock of the trial's number until it has ended.
The system frees the locks of a process that dies: the next one to draw goes on with its trial, from
the last checkpoint. With a database the trials are in each process's own folder, and a process that
is started again there goes on with its own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.core.errors import BusyError
from trainer.storage.run_folder import RunFolder
from trainer.storage.untrusted import check_tree

CLAIMS, TURN = "claims", "turn"
WAIT = 0.1  # seconds between attempts to take a turn


class Workers:
    """A process among those of a search; `folder` is that of its own run."""

    def __init__(self, folder: Path, storage: str | None) -> None:
        self.url = storage if storage is not None and "://" in storage else None
        self.shared = storage is not None
        self.trials = folder if storage is None or self.url else Path(storage).absolute()
        self.claims: dict[int, RunFolder] = {}

    def prepare(self) -> None:
        """Make the shared folder. Raises CheckpointError where it holds a link."""
        if self.shared:
            (self.trials / CLAIMS).mkdir(parents=True, exist_ok=True)
            check_tree(self.trials)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process draws a trial."""
        if not self.shared:
            yield
            return
        lock = RunFolder(self.trials / CLAIMS / TURN)
        while not claimed(lock):
            time.sleep(WAIT)
        try:
            yield
        finally:
            lock.release()

    def take(self, number: int, *, new: bool) -> bool:
        """Whether a trial, new or interrupted, is now this process's; no other can have it then."""
        if not self.shared:
            return True
        folder = self.trials / CLAIMS / f"{number:03}"
        if self.url is not None and not new and not folder.exists():
            return False  # of a process with another folder
        lock = RunFolder(folder)
        if not claimed(lock):
            return False
        self.claims[number] = lock
        return True

    def release(self, number: int) -> None:
        """Let go of a trial that has ended."""
        if number in self.claims:
            self.claims.pop(number).release()


def claimed(lock: RunFolder) -> bool:
    """Whether a lock is this process's now."""
    try:
        lock.claim(fresh=False)
    except BusyError:
        return False
    return True
