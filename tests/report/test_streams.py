"""A run outlives its console: a process of its own, a real pipe."""

import os
from functools import partial
from pathlib import Path

import pytest
from forks import Fork
from support import read_json

SMALL = ["threads=1", "dataset.subset=100", "epochs=2", "model=mlp", "device=cpu"]


def test_a_run_goes_on_without_the_reader_of_its_output(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    reading, writing = os.pipe()
    own = partial(os.close, reading)  # or the pipe keeps a reader
    fork = Fork(tmp_path, *SMALL, f"hydra.run.dir={folder}", out=writing, before=own)
    os.close(writing)
    assert os.read(reading, 1)
    os.close(reading)  # as `| head -1` does
    code, _, error = fork.done()
    gone = "warning: stdout cannot be written (Broken pipe); the run goes on without it"
    assert (code, error.decode()) == (0, f"{gone}\n")
    assert read_json(folder / "status.json")["state"] == "finished"
    assert gone in (folder / "train.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_run_goes_on_with_a_full_disk_under_its_output(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Path("/dev/full").open("w") as full:
        streams = {"out": full.fileno(), "err": full.fileno()}
        assert Fork(tmp_path, *SMALL, f"hydra.run.dir={folder}", **streams).done()[0] == 0
        assert Fork(tmp_path, *SMALL, "seed=-1", **streams).done()[0] == 2
    text = (folder / "train.log").read_text()
    assert text.count("No space left on device") == 2, "once for each stream"
    assert "run folder" in text


def test_characters_that_the_console_lacks_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    code, out, error = Fork(tmp_path, *SMALL, f'hydra.run.dir="{tmp_path}/→"').done()
    assert (code, error) == (0, b"")
    assert f"{tmp_path}/?".encode() in out
