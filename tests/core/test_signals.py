"""Signals to a real process: state saved, the right exit code, no step lost or repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hostile import in_process
from support import events, read_json

from trainer.core.errors import BusyError
from trainer.storage import checkpoint

COMMAND = [sys.executable, "-m", "trainer", "quiet=true", "threads=1", "epochs=4000"]
COMMAND += ["model=mlp", "dataset.val_fraction=0", "log.every=1st", "resume=auto"]


def training(command: list[str], folder: Path, steps: int) -> subprocess.Popen[str]:
    """Start a run and wait until it has logged more than `steps` lines in all."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = folder / "metrics.jsonl"
    while not (log.exists() and log.read_text().count("\n") > steps):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    return process


def stop(process: subprocess.Popen[str], number: signal.Signals, folder: Path) -> int:
    """Signal the process, check how it ends, and return the step of its last checkpoint."""
    os.kill(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error.count("\n") == 1
    status = read_json(folder / "status.json")
    assert (status["state"], status["exit_code"]) == ("preempted", 128 + number)
    return checkpoint.steps(folder / "checkpoints")[0]


def test_a_stopped_run_resumes_without_losing_or_repeating_a_step(tmp_path, capsys):
    """SIGTERM, then SIGINT to the resumed run; a second process in the folder is refused."""
    folder = tmp_path / "run"
    command = [*COMMAND, f"hydra.run.dir={folder}"]
    process = training(command, folder, 20)
    assert in_process(folder, "resume=auto") == BusyError.exit_code == 7
    assert str(process.pid) in capsys.readouterr().err
    first = stop(process, signal.SIGTERM, folder)
    second = stop(training(command, folder, first + 20), signal.SIGINT, folder)
    steps = [line["step"] for line in events(folder) if line["split"] == "train"]
    assert second > first
    assert steps == list(range(1, len(steps) + 1))
    assert steps[-1] in (second - 1, second)
