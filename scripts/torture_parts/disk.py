"""A full disk, simulated by a small tmpfs; skipped without permission to mount one."""

import subprocess
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torture_parts.child import Child, digest, steps, uninterrupted
from torture_parts.kill import unreadable
from torture_parts.outcome import Outcome

MANY = ["checkpoint.every=1st", "checkpoint.keep=1000", "model.hidden=[256]"]


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of a size on the folder. Raises CalledProcessError without permission."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disks(folder: Path, _options: Namespace) -> Iterator[Outcome]:
    """Yield rows for a disk that fills up in a checkpoint, and in the log."""
    for outcome, attempt in (
        (Outcome("disk full in a checkpoint"), in_checkpoint),
        (Outcome("disk full in the log"), in_log),
    ):
        try:
            attempt(folder / attempt.__name__, outcome)
        except (OSError, subprocess.CalledProcessError):
            outcome.found = "no permission to mount a tmpfs"
        yield outcome


def in_checkpoint(folder: Path, outcome: Outcome) -> None:
    """Expect exit 6 with the path, a valid checkpoint before it and nothing half-written."""
    with tmpfs(folder, "6m"):
        run = folder / "run"
        child = Child(run, *MANY)
        code, error = child.wait(), child.errors.read_text()
        outcome.tried = 1
        outcome.expect(code == 6, f"exit {code}")
        named = "disk full" in error and str(run / "checkpoints") in error
        outcome.expect(named and error.count("\n") == 1, error)
        outcome.expect(bool(steps(run)) and not unreadable(run), unreadable(run))
        partial = list((run / "checkpoints").glob(".tmp-*"))
        outcome.expect(not partial, f"left behind: {partial}")
        outcome.found = f"exit {code}, {len(steps(run))} checkpoints, the latest valid"


def in_log(folder: Path, outcome: Outcome) -> None:
    """Expect one warning, and the same weights."""
    expected, _ = uninterrupted(folder / "whole")
    run = folder / "run"
    with tmpfs(run / "tensorboard", "8k"):
        child = Child(run)
        code, error = child.wait(), child.errors.read_text()
        outcome.tried = 1
        outcome.expect(code == 0, f"exit {code}: {error}")
        outcome.expect(error.count("warning:") == 1 and "tensorboard" in error, error)
        outcome.expect(digest(run) == expected, "the weights differ")
        outcome.found = f"exit {code}, one warning, identical weights"
