"""Output that cannot be written, and limits on files and open files."""

import json
import os
import resource
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torture_parts.child import SETTINGS
from torture_parts.outcome import Outcome

LONGEST = 120  # seconds that any run may take
FOLDER = ["dataset=image_folder", "model=mlp", "epochs=2", "batch_size=8", "device=cpu"]


def limits(folder: Path, _options: Namespace) -> Iterator[Outcome]:
    """Yield rows for consoles that fail, for few open files, and for files of limited size."""
    folder.mkdir(parents=True)
    yield failing_consoles(folder / "console")
    yield few_open_files(folder / "files")
    yield small_files(folder / "small")


def started(
    folder: Path, settings: list[str], before: Callable[[], Any] | None = None, **streams: Any
) -> tuple[int, str, str]:
    """Run from the command line; returns exit code, stderr and the state in status.json."""
    command = [sys.executable, "-m", "trainer", *settings, f"hydra.run.dir={folder}"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams}
    try:
        done = subprocess.run(
            command, check=False, text=True, timeout=LONGEST, preexec_fn=before, **streams
        )
    except subprocess.TimeoutExpired:
        return -9, "it did not end", "running"
    status = folder / "status.json"
    state = json.loads(status.read_text())["state"] if status.exists() else "none"
    return done.returncode, done.stderr or "", state


def failing_consoles(folder: Path) -> Outcome:
    """Expect runs to train to the end, whatever becomes of their output."""
    outcome = Outcome("a full, closed or unread console")
    loud = [*SETTINGS, "quiet=false"]
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w", encoding="utf-8") as full, os.fdopen(writer, "w") as unread:
        cases: dict[str, dict[str, Any]] = {
            "full": {"stdout": full},
            "both full": {"stdout": full, "stderr": full},
            "unread": {"stdout": unread},
            "both unread": {"stdout": unread, "stderr": unread},
            "closed": {"before": lambda: os.close(1)},
            "both closed": {"before": lambda: os.closerange(1, 3)},
        }
        for name, streams in cases.items():
            code, error, state = started(folder / name, loud, **streams)
            outcome.tried += 1
            good = (code, state) == (0, "finished") and "Traceback" not in error
            outcome.expect(good, f"{name}: exit {code}, {state}: {error[-500:]}")
    outcome.found = f"exit 0, finished: {outcome.tried - len(outcome.failures)} times"
    return outcome


def few_open_files(folder: Path) -> Outcome:
    """Expect a run to end, or to name the limit in one line."""
    outcome = Outcome("a limit of 20 to 64 open files, with loader workers")
    images = folder / "images"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(images / name / f"{i}.png")
    data = [*FOLDER, f"dataset.root={images}", "dataset.cache=null", "loader.workers=2"]
    for most in (20, 28, 40, 64):
        for loader in ("memory", "stream"):
            where = folder / f"{most} {loader}"
            code, error, state = started(
                where,
                [*data, f"loader={loader}"],
                lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
            )
            named = code in (2, 3, 6) and error.count("\n") == 1 and state != "running"
            outcome.tried += 1
            outcome.expect(
                code == 0 or named, f"{most}, {loader}: exit {code}, {state}: {error[-500:]}"
            )
    outcome.found = f"finished, or the limit named: {outcome.tried - len(outcome.failures)} times"
    return outcome


def small_files(folder: Path) -> Outcome:
    """Expect exit 6 with the path, or warnings and a finished run."""
    outcome = Outcome("files that may not grow beyond 100 B to 64 kB")
    for size in (100, 1_000, 8_000, 64_000):
        code, error, state = started(
            folder / str(size),
            SETTINGS,
            lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        )
        named = code == 6 and str(folder / str(size)) in error.splitlines()[-1]
        outcome.tried += 1
        good = (code == 0 or named) and "Traceback" not in error
        outcome.expect(good, f"{size} bytes: exit {code}, {state}: {error[-500:]}")
    outcome.found = f"exit 6 with the path, or a warning: {outcome.tried} times"
    return outcome
