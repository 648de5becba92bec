"""Files of a run or sweep folder replaced by links, pipes, other types and nonsense."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torture_parts.child import SETTINGS, Child, uninterrupted
from torture_parts.outcome import Outcome

LONGEST = 60  # seconds that any job may take
ACTED_ON = (0, 2, 3, 5, 6)  # exit codes: done without the file, or refused with the reason
FILES = (
    "config.yaml",
    "status.json",
    "result.json",
    "metrics.jsonl",
    "data.json",
    "job.log",
    ".lock",
    "examples/meta.json",
    "examples/loss.bin",
    "examples/labels.npy",
    "checkpoints/manifest.json",
    "checkpoints/config.json",
    "checkpoints/model.safetensors",
)
SWEEP_FILES = ("multirun.yaml", "manifest.json", "summary.json", "0/job.log", "0/config.yaml")
SWEEP_FILES += ("0/result.json", "0/status.json", "1/metrics.jsonl")


def link(path: Path, outside: Path, _rng: random.Random) -> None:
    """Replace a file by a link to one outside."""
    path.symlink_to(outside)


def hard_link(path: Path, outside: Path, _rng: random.Random) -> None:
    """Replace a file by a second name of one outside."""
    path.hardlink_to(outside)


def pipe(path: Path, _outside: Path, _rng: random.Random) -> None:
    """Replace a file by a pipe that nobody writes to."""
    os.mkfifo(path)


def folder(path: Path, _outside: Path, _rng: random.Random) -> None:
    """Replace a file by a folder."""
    path.mkdir()


def noise(path: Path, _outside: Path, rng: random.Random) -> None:
    """Replace a file by random bytes."""
    path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))


def nested(path: Path, _outside: Path, _rng: random.Random) -> None:
    """Replace a file by lists in lists."""
    path.write_text("[" * 100_000, encoding="utf-8")


def huge(path: Path, _outside: Path, _rng: random.Random) -> None:
    """Replace a file by eight gigabytes of zeros that take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(2**33)


def typed(path: Path, _outside: Path, rng: random.Random) -> None:
    """Replace a file by JSON of some other type."""
    values = [None, 5, "x", [], {}, {"val": 5}, {"val": {"loss": "x"}}, {"state": ["finished"]}]
    values += [{"jobs": 3}, {"version": 1, "examples": 10**12, "fields": {"loss": "float16"}}]
    values += [float("nan"), {"val": {"accuracy": float("inf")}}, {"classes": [1], "shape": "x"}]
    path.write_text(json.dumps(rng.choice(values)), encoding="utf-8")


Harm = Callable[[Path, Path, random.Random], None]
HARMS: tuple[Harm, ...] = (link, hard_link, pipe, folder, noise, nested, huge, typed)


def foreign_folders(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield a row for each job that reads a run's folder, and one for a sweep in its own."""
    rng = random.Random(options.seed)
    run = folder / "run"
    uninterrupted(run)
    (run / "job.log").write_text("")
    for number, (what, overrides) in enumerate(JOBS.items()):
        yield runs(what, overrides, run, folder / str(number), options.foreign, rng)
    yield sweeps(folder / "sweep", max(options.foreign // 5, 1), rng)


JOBS: dict[str, Callable[[Path], list[str]]] = {
    "resume": lambda _: ["epochs=3"],
    "job=evaluate": lambda run: ["job=evaluate", f"run={run}"],
    "job=predict": lambda run: ["job=predict", f"run={run}"],
    "job=examples": lambda run: ["job=examples", f"run={run}"],
    "job=compare": lambda run: ["job=compare", f"runs={run.parent}"],
    "distill.teacher": lambda run: ["distill=soft_target", f"distill.teacher={run}", "epochs=1"],
}


def runs(
    what: str,
    overrides: Callable[[Path], list[str]],
    run: Path,
    folder: Path,
    number: int,
    rng: random.Random,
) -> Outcome:
    """Expect each job to end in time, with at most one line for an error, and to touch nothing."""
    outcome = Outcome(f"a file of a run folder replaced, {what}")
    for attempt in range(number):
        copy = Path(shutil.copytree(run, folder / str(attempt) / "run"))
        harm, name, intact = harmed(copy, rng.choice(FILES), folder / f"{attempt}.outside", rng)
        where = copy if what == "resume" else folder / f"{attempt}.result"
        child = Child(where, *overrides(copy))
        code = ended(child)
        error = child.errors.read_text()
        about = f"{harm} as {name}: exit {code}: {error[-500:]}"
        outcome.tried += 1
        outcome.expect(code in ACTED_ON, about)
        outcome.expect("Traceback" not in error and (code == 0 or error.count("\n") >= 1), about)
        outcome.expect(intact(), f"{harm} as {name}: the file outside has changed")
        shutil.rmtree(folder / str(attempt))
    outcome.found = f"{number - len(outcome.failures)} of {number} refused, or done without it"
    return outcome


def harmed(
    copy: Path, name: str, outside: Path, rng: random.Random
) -> tuple[str, str, Callable[[], bool]]:
    """Replace a file; returns how, which, and whether the file outside is intact."""
    parts = name.split("/")
    if parts[0] == "checkpoints":
        newest = max((copy / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
        path = newest / parts[1]
    elif parts[0].isdigit():
        path = sorted(one for one in copy.iterdir() if one.is_dir())[int(parts[0])] / parts[1]
    else:
        path = copy / name
    path.unlink(missing_ok=True)
    outside.write_text("#!/bin/sh\n", encoding="utf-8")
    harm = rng.choice(HARMS)
    harm(path, outside, rng)
    return harm.__name__, name, lambda: outside.read_text(encoding="utf-8") == "#!/bin/sh\n"


def ended(child: Child) -> int:
    """Wait for the exit code; a job that takes too long is killed, and -9 returned."""
    deadline = time.monotonic() + LONGEST
    while child.running():
        if time.monotonic() > deadline:
            os.kill(child.pid, 9)
        time.sleep(0.005)
    return child.wait()


def sweeps(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect a repeated sweep to end in time, without a traceback, and to touch nothing outside."""
    outcome = Outcome("a file of a sweep folder replaced, the sweep repeated")
    first = sweep(folder / "first")
    outcome.expect(first.returncode == 0, f"the sweep itself: {first.stderr[-500:]}")
    for attempt in range(number):
        copy = Path(shutil.copytree(folder / "first", folder / str(attempt)))
        harm, name, intact = harmed(
            copy, rng.choice(SWEEP_FILES), folder / f"{attempt}.outside", rng
        )
        done = sweep(copy)
        about = f"{harm} as {name}: exit {done.returncode}: {done.stderr[-500:]}"
        outcome.tried += 1
        outcome.expect(done.returncode in (*ACTED_ON, 1) and "Traceback" not in done.stderr, about)
        outcome.expect(intact(), f"{harm} as {name}: the file outside has changed")
        shutil.rmtree(copy, ignore_errors=True)
    outcome.found = f"{number - len(outcome.failures)} of {number} refused, or done without it"
    return outcome


def sweep(folder: Path) -> subprocess.CompletedProcess[Any]:
    """Run a sweep of two jobs from the command line; exit code -9 if it takes too long."""
    command = [sys.executable, "-m", "trainer", "-m", *SETTINGS, "epochs=1", "seed=0,1"]
    command += [f"hydra.sweep.dir={folder}"]
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=2 * LONGEST
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -9, "", "it did not end")
