"""A run outlives its console: a real process, a real pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import read_json

COMMAND = [sys.executable, "-m", "trainer", "threads=1", "dataset.subset=100", "epochs=2"]
COMMAND += ["model=mlp"]


def test_a_run_goes_on_without_the_reader_of_its_output(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    reading, writing = os.pipe()
    process = subprocess.Popen([*COMMAND, f"hydra.run.dir={folder}"], stdout=writing, stderr=-1)
    os.close(writing)
    assert os.read(reading, 1)
    os.close(reading)  # as `| head -1` does
    _, error = process.communicate(timeout=120)
    gone = "warning: stdout cannot be written (Broken pipe); the run goes on without it"
    assert (process.returncode, error.decode()) == (0, f"{gone}\n")
    assert read_json(folder / "status.json")["state"] == "finished"
    assert gone in (folder / "train.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_run_goes_on_with_a_full_disk_under_its_output(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, f"hydra.run.dir={folder}"]
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 0
        wrong = [*COMMAND, "seed=-1"]
        assert subprocess.run(wrong, stdout=full, stderr=full, check=False).returncode == 2
    text = (folder / "train.log").read_text()
    assert text.count("No space left on device") == 2, "once for each stream"
    assert "run folder" in text


def test_characters_that_the_console_lacks_are_replaced(tmp_path: Path) -> None:
    command = [*COMMAND, "job=preview", "job.steps=2", f'hydra.run.dir="{tmp_path}/→"']
    done = subprocess.run(
        command, capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "cp1252"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{tmp_path}/?".encode() in done.stdout
