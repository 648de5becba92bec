"""Several processes that share a search: which trial is whose.

With a shared folder as `job.storage` the study's journal and the trials' folders are in it. A
process takes its turn to draw a trial, and holds a lock of the trial's number until it has ended.
The system frees the locks of a process that dies: the next one to draw goes on with its trial, from
the last checkpoint. With a database the trials are in each process's own folder, and the claims are
rows (`trainer.job.tune.claims`): another process trains a dead one's trial from the beginning.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.core.errors import BusyError
from trainer.job.tune.claims import Claims
from trainer.storage.run_folder import RunFolder
from trainer.storage.untrusted import check_tree, read_text

CLAIMS, TURN, MARK = "claims", "turn", "owner"
WAIT = 0.1  # seconds between attempts to take a turn


class Workers:
    """A process among those of a search; `folder` is that of its own run.

    `check` is called while it waits, and raises if the process is to stop.
    """

    def __init__(
        self, folder: Path, storage: str | None, check: Callable[[], object] = lambda: None
    ) -> None:
        self.url = storage if storage is not None and "://" in storage else None
        self.shared = storage is not None
        self.trials = folder if storage is None or self.url else Path(storage).absolute()
        self.check = check
        self.locks: dict[int, RunFolder] = {}
        self.claims: Claims | None = None

    def prepare(self) -> None:
        """Make what the processes share. Raises CheckpointError where a folder holds a link."""
        if self.shared:
            (self.trials / CLAIMS).mkdir(parents=True, exist_ok=True)
            check_tree(self.trials)
        if self.url is not None:
            self.claims = Claims(self.url, mark_of(self.trials / CLAIMS / MARK))

    def close(self) -> None:
        """Let go of all trials."""
        for number in [*self.locks]:
            self.release(number)
        if self.claims is not None:
            self.claims.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process draws a trial."""
        if self.claims is not None:
            with self.claims.turn(self.check):
                yield
            return
        if not self.shared:
            yield
            return
        lock = RunFolder(self.trials / CLAIMS / TURN)
        while not claimed(lock):
            self.check()
            time.sleep(WAIT)
        try:
            yield
        finally:
            lock.release()

    def take(self, number: int) -> bool:
        """Whether a trial, new or interrupted, is now this process's; no other can have it then."""
        if self.claims is not None:
            return self.claims.take(number)
        if not self.shared:
            return True
        lock = RunFolder(self.trials / CLAIMS / f"{number:03}")
        if not claimed(lock):
            return False
        self.locks[number] = lock
        return True

    def has(self, number: int) -> bool:
        """Whether a trial is still this process's: it is another's if this one seemed dead."""
        return self.claims is None or self.claims.has(number)

    def outlived(self) -> bool:
        """Whether a trial of another process is free now; waits until that is clear."""
        return self.claims is not None and self.claims.outlived(self.check)

    def release(self, number: int) -> None:
        """Let go of a trial that has ended."""
        if self.claims is not None:
            self.claims.release(number)
        elif number in self.locks:
            self.locks.pop(number).release()


def claimed(lock: RunFolder) -> bool:
    """Whether a lock is this process's now."""
    try:
        lock.claim(fresh=False)
    except BusyError:
        return False
    return True


def mark_of(path: Path) -> str:
    """The name of a folder's process among the claims: the same after a restart."""
    if not path.exists():
        path.write_text(secrets.token_hex(16), encoding="utf-8")
    return read_text(path)[:32]
