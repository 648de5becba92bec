"""A run folder has one owner at a time, and is free once the owner is dead."""

import errno
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from trainer.core.errors import BusyError
from trainer.storage import run_folder
from trainer.storage.run_folder import RunFolder


def test_a_folder_is_free_once_its_owner_is_dead_even_if_workers_live(tmp_path):
    """A loader's workers are forked from the owner: they must not keep its lock."""
    read_end, write_end = os.pipe()
    owner = os.fork()
    if not owner:
        RunFolder(tmp_path).claim(fresh=True)
        worker = os.fork()
        if worker:
            os.write(write_end, str(worker).encode())
        time.sleep(60)
        os._exit(0)
    worker = int(os.read(read_end, 20))
    try:
        with pytest.raises(BusyError, match=f"in use by process {owner} on"):
            RunFolder(tmp_path).claim(fresh=True)
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        os.kill(worker, 0)  # raises unless it lives
        free = RunFolder(tmp_path)
        free.claim(fresh=True)
        assert free.lock is not None
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_the_owner_is_looked_for(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_folder.fcntl, "flock", flock)
    host, lock = socket.gethostname(), tmp_path / ".lock"
    folder = RunFolder(tmp_path)
    folder.claim(fresh=True)
    assert lock.read_text() == f"process {os.getpid()} on {host}"
    assert capsys.readouterr().err == (
        f"warning: {tmp_path} is on a file system without locks, so that a run of another machine "
        "in it is not noticed\n"
    )
    folder.release()
    assert lock.read_text() == "", "nobody is here"
    lock.write_text(f"process {os.getppid()} on {host}")
    with pytest.raises(BusyError, match=f"in use by process {os.getppid()} on {host}"):
        RunFolder(tmp_path).claim(fresh=True)
    for owner in (f"process {2**22 + 1} on {host}", "process 1 on elsewhere", "rubbish"):
        lock.write_text(owner)
        RunFolder(tmp_path).claim(fresh=True)
        assert f"it was last used by {owner}" in capsys.readouterr().err


def test_a_lock_that_another_has_is_no_missing_lock(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    first.claim(fresh=True)
    with pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
        RunFolder(tmp_path).claim(fresh=True)
    first.release()
