"""A run folder has one owner at a time, and is free once the owner is dead."""

import errno
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from trainer.core.errors import BusyError, ConfigError, DiskError
from trainer.storage import run_folder
from trainer.storage.run_folder import RunFolder, write_json


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


def test_a_lock_that_the_disk_refuses_is_an_error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(run_folder.fcntl, "flock", flock)
    with pytest.raises(DiskError, match=f"{tmp_path}/.lock .*Input/output error"):
        RunFolder(tmp_path).claim(fresh=True)


LOST = {
    "nothing": (lambda run: None, True),
    "a log": (lambda run: (run / "train.log").write_text("x"), True),
    "no metrics": (lambda run: (run / "metrics.jsonl").touch(), True),
    "no checkpoints": (lambda run: (run / "checkpoints").mkdir(), True),
    "metrics": (lambda run: (run / "metrics.jsonl").write_text("{}"), False),
    "a checkpoint": (lambda run: (run / "checkpoints" / "step-1").mkdir(parents=True), False),
    "a result": (lambda run: (run / "result.json").write_text("{}"), False),
    "a file of another": (lambda run: (run / "trials.csv").write_text("x"), False),
    "a preempted run": (lambda run: RunFolder(run).write_status("preempted", 143), False),
}


@pytest.mark.parametrize("kind", LOST)
def test_the_folder_of_a_run_that_failed_at_once_is_free(kind: str, tmp_path: Path) -> None:
    leave, free = LOST[kind]
    RunFolder(tmp_path).write_status("failed", 2, "run=x: no run there")
    leave(tmp_path)
    folder = RunFolder(tmp_path)
    if free:
        folder.claim(fresh=True)
        folder.release()
    else:
        with pytest.raises(ConfigError, match="already contains a run"):
            folder.claim(fresh=True)


def test_an_error_of_write_json_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=f"^{tmp_path}/absent/x.json cannot be read or written"):
        write_json(tmp_path / "absent" / "x.json", {})


def test_a_lock_that_another_has_is_no_missing_lock(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    first.claim(fresh=True)
    with pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
        RunFolder(tmp_path).claim(fresh=True)
    first.release()
