"""Links, pipes and locks in a run folder; two processes in one."""

import json
import os
import re
from pathlib import Path

import pytest
from hostile import evaluate, in_process, only_checkpoint
from support import train

from trainer.__main__ import CONF
from trainer.core.errors import BusyError, CheckpointError
from trainer.storage import checkpoint, untrusted
from trainer.storage.run_folder import RunFolder
from trainer.storage.saved_run import SavedRun


def linked(path: Path, elsewhere: Path, hard: bool) -> None:
    """Move a file or folder elsewhere and leave a link to it."""
    path.rename(elsewhere)
    os.link(elsewhere, path) if hard else path.symlink_to(elsewhere)


FILES = (
    "config.yaml",
    "postprocess.json",
    "metrics.jsonl",
    "train.log",
    "status.json",
    "examples/meta.json",
    "examples/loss.bin",
    *(f"checkpoints/{{}}/{name}" for name in ("manifest.json", *checkpoint.FILES)),
)


@pytest.mark.parametrize("kind", ["hard link", "link"])
def test_a_linked_file_is_refused(copy, tmp_path, kind):
    elsewhere = tmp_path / "elsewhere"
    for name in FILES:
        path = copy / name.format(only_checkpoint(copy).name)
        linked(path, elsewhere, kind == "hard link")
        with pytest.raises(CheckpointError, match=f"{path} is a {kind}"):
            SavedRun.at(str(copy))
        if path.parent.parent.name == "checkpoints":
            with pytest.raises(CheckpointError, match=f"{path} is a {kind}"):
                checkpoint.load(path.parent)
        elsewhere.replace(path)
        if kind == "hard link":
            elsewhere.unlink(missing_ok=True)
    assert SavedRun.at(str(copy)).folder == copy


@pytest.mark.parametrize("job", [["job=evaluate", "run={}"], ["resume={}"]], ids=["read", "resume"])
def test_nothing_is_written_through_a_link(copy, tmp_path, capsys, job):
    linked(copy / "metrics.jsonl", tmp_path / "elsewhere", hard=False)
    before = (tmp_path / "elsewhere").read_bytes()
    overrides = [override.format(copy) for override in job]
    assert in_process(tmp_path / "new", *overrides) == CheckpointError.exit_code
    assert f"{copy / 'metrics.jsonl'} is a link" in capsys.readouterr().err
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_linked_folder_is_refused(copy, tmp_path):
    for name in ("checkpoints", "examples", f"checkpoints/{only_checkpoint(copy).name}"):
        path = copy / name
        linked(path, tmp_path / "elsewhere", hard=False)
        with pytest.raises(CheckpointError, match=f"{path} is a link"):
            SavedRun.at(str(copy))
        path.unlink()
        (tmp_path / "elsewhere").rename(path)


def test_the_folder_itself_may_be_a_link(copy, tmp_path):
    (tmp_path / "mine").symlink_to(copy)
    assert evaluate(tmp_path / "e", f"run={tmp_path / 'mine'}") == 0


def test_a_pipe_is_refused_without_blocking(copy):
    (copy / "config.yaml").unlink()
    os.mkfifo(copy / "metrics.fifo")
    with pytest.raises(CheckpointError, match=r"metrics\.fifo"):
        untrusted.check_tree(copy)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("stays")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(CheckpointError, match="is a link"):
        RunFolder(tmp_path / "run").claim(fresh=True)
    assert (tmp_path / "precious").read_text() == "stays"


def test_a_second_process_is_told_the_owner_and_changes_nothing(tmp_path):
    first = RunFolder(tmp_path)
    first.claim(fresh=True)  # before it has a status
    try:
        with pytest.raises(BusyError, match=rf"process {os.getpid()}\b"):
            RunFolder(tmp_path).claim(fresh=True)
        first.write_status("running")
        with pytest.raises(BusyError, match=rf"process {os.getpid()}\b"):
            RunFolder(tmp_path).claim(fresh=False)
        assert json.loads((tmp_path / "status.json").read_text())["state"] == "running"
    finally:
        first.release()
    second = RunFolder(tmp_path)
    second.claim(fresh=False)
    assert second.lock is not None
    second.release()


def test_runs_started_in_the_same_second_have_different_folders():
    from hydra import compose, initialize_config_dir

    from trainer.__main__ import register

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        folders = [compose("config", return_hydra_config=True).hydra.run.dir for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(
        re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-[0-9a-f]{4}", d) for d in folders
    )


@pytest.mark.parametrize("name", ["config.yaml", "compare.md", "train.log", "checkpoints"])
def test_a_new_run_writes_through_no_link_of_its_folder(tmp_path: Path, name: str) -> None:
    """The folder may be there without a run: a link in it could lead anywhere."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(victim)
    with pytest.raises(CheckpointError, match=f"{name} is a link"):
        train(tmp_path / "run", "epochs=1")
    assert victim.read_text() == "mine"
