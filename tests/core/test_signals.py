"""Signals to a real process: saved, the right exit code, no step repeated."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support import events, read_json

from trainer.storage import checkpoint

COMMAND = [
    sys.executable,
    "-m",
    "trainer",
    "quiet=true",
    "threads=1",
    "epochs=400",
    "log.every=1st",
]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stop_and_resume(tmp_path, number, code):
    command = [*COMMAND, f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size > 5000):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    if number == signal.SIGTERM:
        busy = subprocess.run(
            [*command, "resume=auto"], stderr=subprocess.PIPE, text=True, check=False
        )
        assert busy.returncode == 7
        assert str(process.pid) in busy.stderr
    os.kill(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.count("\n") == 1
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("preempted", code)
    stopped = checkpoint.steps(tmp_path / "run" / "checkpoints")[0]
    assert events(tmp_path / "run")[-1]["step"] in (stopped - 1, stopped)
    again = subprocess.run(
        [*command, "resume=auto", f"steps={stopped + 50}", "resume_allow=[steps]"], check=False
    )
    assert again.returncode == 0
    steps = [line["step"] for line in events(tmp_path / "run") if line["split"] == "train"]
    assert steps == list(range(1, stopped + 51))
