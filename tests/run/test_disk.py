"""Disks that fail at every place where a run writes: exit code 6 with the path, or one warning."""

import errno
import json
import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from forks import Fork
from PIL import Image
from support import read_json, train

from trainer.core.errors import DiskError
from trainer.history import store
from trainer.report import log
from trainer.storage.run_folder import RunFolder, write_json

TINY = ("dataset.subset=100", "epochs=1")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EINVAL, errno.EROFS)


def failing(number: int) -> Any:
    """A function that fails as a write does: the error knows no path."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", ERRORS)
def test_a_difficulty_store_that_cannot_begin(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store.np, "save", failing(number))
    assert train(tmp_path, *TINY) == DiskError.exit_code == 6
    error = capsys.readouterr().err
    assert error == f"{tmp_path}/examples cannot be read or written: {os.strerror(number)}\n"
    assert read_json(tmp_path / "status.json")["exit_code"] == 6


@pytest.mark.parametrize("number", ERRORS)
def test_a_sync_that_fails_names_the_checkpoints(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fsync", failing(number))
    assert train(tmp_path, *TINY) == 6
    error = capsys.readouterr().err
    assert f"{tmp_path}/checkpoints" in error
    assert error.count("\n") == 1


def test_pictures_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", *TINY) == 0
    monkeypatch.setattr(Image.Image, "save", failing(errno.EIO))
    assert train(tmp_path / "job", "job=examples", f"run={tmp_path}/run") == 6
    assert capsys.readouterr().err == (
        f"{tmp_path}/job cannot be read or written: Input/output error\n"
    )


def test_tensorboard_that_cannot_begin_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "EventStream", failing(errno.ENOSPC))
    assert train(tmp_path, *TINY) == 0
    assert capsys.readouterr().err.count("no longer writing tensorboard") == 1


def test_a_json_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(Path, "replace", failing(errno.EIO))
    with pytest.raises(DiskError, match=f"{path} cannot be read or written: Input/output"):
        write_json(path, {"a": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert json.loads(path.read_text()) == {"a": 1}


def test_an_end_is_written_even_without_room_for_a_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_status("running")
    monkeypatch.setattr(Path, "write_text", failing(errno.ENOSPC))
    folder.write_status("failed", 6, "full")
    assert (folder.status["state"], folder.status["exit_code"]) == ("failed", 6)
    with pytest.raises(DiskError):
        folder.write_status("running")


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    for name in (".status.json.4711", ".result.json.1", ".status.json.txt", "status.json.1"):
        (tmp_path / name).touch()
    folder = RunFolder(tmp_path)
    folder.claim(fresh=True)
    folder.release()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".lock", ".status.json.txt", "status.json.1"}


@pytest.mark.parametrize("size", [10, 1000, 30000])
def test_a_limit_on_the_size_of_files(size: int, tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the lock, config.yaml and a checkpoint are the first that fail."""
    small = [*TINY, "model=mlp", "threads=1", "quiet=true", f"hydra.run.dir={tmp_path}/run"]
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    code, _, error = Fork(tmp_path, *small, before=limit).done()
    *warnings, last = error.decode().splitlines()
    assert (code, all(line.startswith("warning: ") for line in warnings)) == (6, True)
    assert last.startswith(f"{tmp_path}/run"), last
    assert "File too large" in last
