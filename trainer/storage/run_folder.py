"""The run folder: locked by one process at a time, with a status that is written atomically."""

import contextlib
import errno
import fcntl
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from trainer.core.errors import (
    BusyError,
    CheckpointError,
    ConfigError,
    DiskError,
    complain,
    disk_error,
)
from trainer.report.strict_json import dumps
from trainer.storage.untrusted import LARGEST, check_file, read_json

OWNER_LENGTH = 200  # characters read from a lock file
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # some network disks
JSON_FILES = "status", "result", "manifest", "summary", "data", "postprocess"
UNFINISHED = re.compile(rf"\.({'|'.join(JSON_FILES)})\.json\.\d+")  # of `write_json`
REWRITTEN = {  # what the next run in a folder writes again, or appends to
    ".hydra",
    ".lock",
    "config.yaml",
    "data.json",
    "examples",
    "job.log",
    "status.json",
    "tensorboard",
    "train.log",
}
locks: set[IO[str]] = set()  # held by this process


class RunFolder:
    """A folder that one process at a time may use. It contains a run if it has a `status.json`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock: IO[str] | None = None
        self.unlocked = False  # whether the file system has no locks
        self.started = now()

    @property
    def checkpoints(self) -> Path:
        """The folder with a subfolder for each checkpoint."""
        return self.path / "checkpoints"

    @property
    def status(self) -> dict[str, Any]:
        """The contents of `status.json`; empty if there is none.

        For a file that a crash left incomplete the state is `unreadable`, and the run can be
        resumed. Raises CheckpointError for a link or a file that is too large.
        """
        path = self.path / "status.json"
        if not os.path.lexists(path):
            return {}
        check_file(path, LARGEST)
        try:
            return read_json(path)
        except CheckpointError:
            return {"state": "unreadable"}

    @property
    def is_reusable(self) -> bool:
        """Whether its run failed before it had a metric, a checkpoint or a result to lose."""
        if self.status.get("state") != "failed":
            return False
        return all(path.name in REWRITTEN or is_empty(path) for path in self.path.iterdir())

    def claim(self, *, fresh: bool) -> None:
        """Create and lock the folder. Raises BusyError if another process has locked it.

        With `fresh`, raises ConfigError if the folder already contains a run that left something.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / ".lock"
        if os.path.lexists(lock):
            check_file(lock)
        self.lock = lock.open("a+", encoding="utf-8", errors="replace")
        self.lock.seek(0)
        owner = self.lock.read(OWNER_LENGTH)
        if not self.acquire(self.lock, owner):
            self.release()
            raise BusyError(f"{self.path} is in use by {owner or 'another process'}")
        self.lock.truncate(0)
        self.lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self.lock.flush()
        locks.add(self.lock)
        remove_unfinished(self.path)
        if fresh and self.status and not self.is_reusable:
            self.release()
            raise ConfigError(
                f"{self.path} already contains a run ({self.status.get('state')}); "
                "resume=auto continues it, hydra.run.dir=... selects another folder"
            )

    def acquire(self, lock: IO[str], owner: str) -> bool:
        """Lock the file, whose text names its last owner; False if another process has it.

        Where the file system has no locks, the folder is another's if that owner is alive. Raises
        DiskError for any other error.
        """
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                return False
            if error.errno not in NO_LOCKS:
                self.release()
                raise disk_error(error, self.path / ".lock") from error
            if alive(owner):
                return False
            self.unlocked = True
            last = f"; it was last used by {owner}" if owner else ""
            complain(
                f"warning: {self.path} is on a file system without locks, so that a run of another "
                f"machine in it is not noticed{last}"
            )
        return True

    def release(self) -> None:
        """Unlock the folder."""
        if self.lock is not None:
            if self.unlocked:
                with contextlib.suppress(OSError):
                    self.lock.truncate(0)
            locks.discard(self.lock)
            self.lock.close()
            self.lock = None

    def write_status(self, state: str, exit_code: int | None = None, error: str = "") -> None:
        """Write `status.json` atomically; any state but `running` ends the run."""
        done = state != "running"
        status = {
            "state": state,
            "exit_code": exit_code,
            "error": error or None,
            "started": self.started,
            "ended": now() if done else None,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        path = self.path / "status.json"
        try:
            write_json(path, status)
        except DiskError:
            if not (done and path.is_file()):
                raise
            overwrite(path, status)  # no room for a second file


def close_locks() -> None:
    """Close inherited locks in a forked process: a worker may outlive a killed owner by seconds."""
    for lock in locks:
        lock.close()


os.register_at_fork(after_in_child=close_locks)


def alive(owner: str) -> bool:
    """Whether the process that a lock file names is alive; of this machine, as far as is known."""
    match = re.fullmatch(r"process (\d+) on (.+)", owner)
    if match is None or match[2] != socket.gethostname() or int(match[1]) == os.getpid():
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return int(match[1]) < 2**31
    return True


def is_empty(path: Path) -> bool:
    """Whether a path is a file or a folder with nothing in it."""
    if path.is_symlink() or not path.is_dir():
        return not path.is_symlink() and path.is_file() and path.stat().st_size == 0
    return not any(path.iterdir())


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically; NaN and infinity become null.

    Raises DiskError, and leaves nothing, if it cannot.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(dumps(value, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # not that of the temporary file
        raise disk_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def overwrite(path: Path, value: object) -> None:
    """Write a JSON file in the place of another, whose room on the disk it takes over."""
    try:
        with path.open("r+", encoding="utf-8") as file:
            file.write(dumps(value) + "\n")
            file.truncate()
    except OSError as error:
        raise disk_error(error, path) from error


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that died in `write_json` have left."""
    for path in folder.iterdir():
        if UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def now() -> str:
    """Return the current UTC time in ISO format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
