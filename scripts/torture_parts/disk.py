"""A disk that is full, on a small tmpfs; skipped where none may be mounted."""

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
    """A file system of a size on the folder. Raises CalledProcessError without the right to."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disks(folder: Path, _options: Namespace) -> Iterator[Outcome]:
    """Full in a checkpoint, and full in the log."""
    for outcome, attempt in (
        (Outcome("disk full in a checkpoint"), in_checkpoint),
        (Outcome("disk full in the log"), in_log),
    ):
        try:
            attempt(folder / attempt.__name__, outcome)
        except (OSError, subprocess.CalledProcessError):
            outcome.found = "a tmpfs cannot be mounted here"
        yield outcome


def in_checkpoint(folder: Path, outcome: Outcome) -> None:
    """Exit 6 with the path; the checkpoint before it valid, nothing half-written."""
    with tmpfs(folder, "6m"):
        run = folder / "run"
        child = Child(run, *MANY)
        code, said = child.wait(), child.errors.read_text()
        outcome.tried = 1
        outcome.expect(code == 6, f"exit {code}")
        named = "disk full" in said and str(run / "checkpoints") in said
        outcome.expect(named and said.count("\n") == 1, said)
        outcome.expect(bool(steps(run)) and not unreadable(run), unreadable(run))
        partial = list((run / "checkpoints").glob(".tmp-*"))
        outcome.expect(not partial, f"left behind: {partial}")
        outcome.found = f"exit {code}, {len(steps(run))} checkpoints, the latest valid"


def in_log(folder: Path, outcome: Outcome) -> None:
    """One warning, and the same weights as ever."""
    expected, _ = uninterrupted(folder / "whole")
    run = folder / "run"
    with tmpfs(run / "tensorboard", "8k"):
        child = Child(run)
        code, said = child.wait(), child.errors.read_text()
        outcome.tried = 1
        outcome.expect(code == 0, f"exit {code}: {said}")
        outcome.expect(said.count("warning:") == 1 and "tensorboard" in said, said)
        outcome.expect(digest(run) == expected, "other weights")
        outcome.found = f"exit {code}, one warning, identical weights"
