"""A command that failed at once is corrected and given again, in the same folder."""

import errno
import os
from pathlib import Path

import pytest
from hostile import in_process
from omegaconf import OmegaConf
from support import read_json, train

from trainer.cli.folders import created, record_missing
from trainer.cli.launch import exit_code_of
from trainer.core.errors import DiskError

TINY = ("dataset.subset=100", "epochs=1")


def test_the_corrected_command_needs_no_other_folder(tmp_path: Path) -> None:
    assert train(tmp_path / "run", *TINY) == 0
    again = tmp_path / "again"
    assert in_process(again, "job=evaluate", f"run={tmp_path}/absent") == 2
    assert read_json(again / "status.json")["state"] == "failed"
    assert in_process(again, "job=evaluate", f"run={tmp_path}/run") == 0
    assert read_json(again / "status.json")["state"] == "finished"


def test_another_job_may_take_the_folder(tmp_path: Path) -> None:
    assert in_process(tmp_path, "job=evaluate", f"run={tmp_path}/absent") == 2
    assert train(tmp_path, *TINY, "resume=auto") == 0
    assert read_json(tmp_path / "result.json")["val"]


def test_a_folder_that_may_not_be_written_is_an_error_of_the_disk() -> None:
    assert exit_code_of(PermissionError(errno.EACCES, "", "r")) == DiskError.exit_code


def test_what_cannot_be_looked_at_is_left_to_hydra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "exists", refuse)
    record_missing(OmegaConf.create({"x": str(tmp_path / "a")}), "x")
    assert tmp_path / "a" not in created
