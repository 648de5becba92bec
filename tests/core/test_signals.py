"""Signals to a process: state saved, the right exit code, no step lost or repeated."""

import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from forks import Fork
from hostile import in_process
from support import events, read_json

from trainer.core import signals
from trainer.core.errors import BusyError, Interrupted
from trainer.core.signals import STOPPING, Deadline, Signals, cause_of, deferred, handle, immediate
from trainer.storage import checkpoint

COMMAND = ["quiet=true", "threads=1", "epochs=4000", "device=cpu", "model=mlp"]
COMMAND += ["dataset.val_fraction=0", "log.every=1st", "resume=auto"]


def training(arguments: list[str], folder: Path, steps: int) -> Fork:
    """Start a run and wait until it has logged more than `steps` lines in all."""
    fork = Fork(folder.parent, *arguments)
    log = folder / "metrics.jsonl"
    while not (log.exists() and log.read_text().count("\n") > steps):
        assert fork.running(), fork.done()
        time.sleep(0.02)
    return fork


def stop(fork: Fork, number: signal.Signals, folder: Path) -> tuple[int, list[str]]:
    """Signal the process; return the step of its last checkpoint and the arguments that go on."""
    os.kill(fork.pid, number)
    code, _, error = fork.done()
    assert code == 128 + number
    assert error.count(b"\n") == 1
    status = read_json(folder / "status.json")
    assert (status["state"], status["exit_code"]) == ("preempted", 128 + number)
    python, m, program, *arguments = shlex.split(error.decode().partition("; continue with ")[2])
    assert (python, m, program) == ("python", "-m", "trainer")
    return checkpoint.steps(folder / "checkpoints")[0], arguments


def test_a_stopped_run_resumes_without_losing_or_repeating_a_step(tmp_path, capsys):
    """SIGTERM, then SIGINT to the resumed run; a second process in the folder is refused."""
    folder = tmp_path / "a run"
    command = [*COMMAND, f"hydra.run.dir='{folder}'"]
    fork = training(command, folder, 20)
    assert in_process(folder, "resume=auto") == BusyError.exit_code == 7
    assert str(fork.pid) in capsys.readouterr().err
    first, pasted = stop(fork, signal.SIGTERM, folder)
    second, _ = stop(training(pasted, folder, first + 20), signal.SIGINT, folder)
    steps = [line["step"] for line in events(folder) if line["split"] == "train"]
    assert second > first
    assert steps == list(range(1, len(steps) + 1))
    assert steps[-1] in (second - 1, second)


def test_a_signal_to_the_loaders_workers_too_is_no_error(tmp_path: Path) -> None:
    """SLURM signals every process of a job, and the workers die of SIGTERM."""
    loader = ["loader=stream", "loader.workers=2", "dataset.subset=200"]
    folder = tmp_path / "run"
    fork = training([*COMMAND, *loader, f"hydra.run.dir={folder}"], folder, 5)
    os.killpg(fork.pid, signal.SIGTERM)
    code, _, error = fork.done()
    assert (code, error.count(b"\n")) == (143, 1), error
    assert read_json(folder / "status.json")["state"] == "preempted"
    assert checkpoint.steps(folder / "checkpoints")


# Modes, in a fork: the handlers and the exit are the program's own


def forked(act: Callable[[], object]) -> tuple[int, float]:
    """Call `act` in a fork as the program does. Returns its exit code and how long it took."""
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            with Signals(), immediate():
                act()
            code = 0
        except Interrupted as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), time.monotonic() - began


def send(number: signal.Signals, after: float = 0.0) -> None:
    """Signal this process, later if asked, from another one."""
    if not after:
        signal.raise_signal(number)
    elif os.fork() == 0:
        time.sleep(after)
        os.kill(os.getppid(), number)
        os._exit(0)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_immediate_where_nothing_is_to_be_saved(number: signal.Signals) -> None:
    assert forked(lambda: send(number))[0] == 128 + number


def test_a_deferred_signal_waits_for_the_end_of_the_block() -> None:
    def act() -> None:
        with deferred():
            send(signal.SIGTERM)
            send(signal.SIGHUP)  # the second does nothing
            os.write(writing, b"saved")
        os.write(writing, b"never")

    reading, writing = os.pipe()
    assert forked(act)[0] == 143
    assert os.read(reading, 100) == b"saved"


def test_a_signal_that_a_library_swallows_is_raised_again() -> None:
    def act() -> None:
        with contextlib.suppress(BaseException):
            send(signal.SIGUSR1)
        for _ in range(100):
            time.sleep(0.1)

    code, seconds = forked(act)
    assert code == 138
    assert seconds < 5


def test_an_error_that_took_the_place_of_the_interruption_is_seen_through() -> None:
    def act() -> None:
        try:
            send(signal.SIGTERM)
        except BaseException:
            error = cause_of(ImportError("numpy failed to import"))
            raise error from None

    assert forked(act)[0] == 143


def test_a_long_call_into_c_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "PATIENCE", 0.4)

    def act() -> None:
        send(signal.SIGTERM, after=0.1)
        with Deadline():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # ten minutes

    code, seconds = forked(act)
    assert code == 143
    assert 0.4 < seconds < 3


def test_a_second_ctrl_c_ends_it_at_once_with_last_words() -> None:
    def act() -> None:
        own = Signals(lambda number: os.write(writing, f"{number}".encode()))
        with own:
            send(signal.SIGINT)
            send(signal.SIGINT)
        os.write(writing, b"never")

    reading, writing = os.pipe()
    assert forked(act)[0] == 130
    assert os.read(reading, 100) == b"2"


def test_nohup_is_respected() -> None:
    def act() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Signals(), immediate():
            send(signal.SIGHUP)

    assert forked(act)[0] == 0


def test_a_fork_leaves_signals_to_its_parent() -> None:
    def act() -> None:
        with Signals(), immediate():
            pid = os.fork()
            if pid == 0:
                send(signal.SIGINT)
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    assert forked(act)[0] == 0


def test_a_signal_before_training_is_answered(tmp_path: Path) -> None:
    """In the imports, which are those of any job: one line, the exit code, no folder."""
    command = [sys.executable, "-m", "trainer", "job=tune", f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    _, error = process.communicate(timeout=10)
    assert (process.returncode, error) == (129, "stopped by signal 1 before the run began\n")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_inside_an_import_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would print what its callback raises as a traceback, and go on."""
    started: list[object] = []
    monkeypatch.setattr("_thread.start_new_thread", lambda *given: started.append(given))
    inside = cast("Any", SimpleNamespace(f_code=SimpleNamespace(co_filename=signals.IMPORTS)))
    with Signals(), immediate():
        handle(signal.SIGTERM, inside)
        assert len(started) == 1, "which raises it a moment later"
        signals.state.raised = -1e9
        with pytest.raises(Interrupted):
            handle(signal.SIGTERM)
        signals.settle()
