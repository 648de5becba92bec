"""The run folder: one owner at a time, and a status that is always whole."""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from trainer.core.errors import BusyError, CheckpointError, ConfigError
from trainer.storage.untrusted import LARGEST, check_file, read_json

LONGEST = 200  # characters of an owner
owned: set[IO[str]] = set()  # locks of this process


class RunFolder:
    """A folder that one process works in. `status.json` makes it a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock: IO[str] | None = None
        self.started = now()

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def status(self) -> dict[str, Any]:
        """What `status.json` says; empty where there is none.

        Raises CheckpointError for a link, or one that is too large. One that a crash has left in
        pieces is that of a run to go on with.
        """
        path = self.path / "status.json"
        if not os.path.lexists(path):
            return {}
        check_file(path, LARGEST)
        try:
            return read_json(path)
        except CheckpointError:
            return {"state": "unreadable"}

    def claim(self, *, fresh: bool) -> None:
        """Take the folder. Raises BusyError while another process has it.

        With `fresh`, raises ConfigError if it already holds a run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / ".lock"
        if os.path.lexists(lock):
            check_file(lock)
        self.lock = lock.open("a+")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.lock.seek(0)
            owner = self.lock.read(LONGEST) or "another process"
            self.release()
            raise BusyError(f"{self.path} is in use by {owner}") from error
        self.lock.truncate(0)
        self.lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self.lock.flush()
        owned.add(self.lock)
        if fresh and self.status:
            self.release()
            raise ConfigError(
                f"{self.path} already holds a run ({self.status.get('state')}); "
                "resume=auto goes on with it, hydra.run.dir=... gives another folder"
            )

    def release(self) -> None:
        """Give the folder back."""
        if self.lock is not None:
            owned.discard(self.lock)
            self.lock.close()
            self.lock = None

    def write_status(self, state: str, exit_code: int | None = None, error: str = "") -> None:
        """Write `status.json` atomically."""
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
        write_json(self.path / "status.json", status)


def let_go() -> None:
    """In a forked process: a loader's worker outlives an owner that is killed, by seconds."""
    for lock in owned:
        lock.close()


os.register_at_fork(after_in_child=let_go)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
