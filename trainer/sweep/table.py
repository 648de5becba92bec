"""A sweep on the console: a live table on a terminal, elsewhere a line for each change."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from trainer.core.errors import CheckpointError, complain
from trainer.core.number import finite
from trainer.core.text import plain
from trainer.report.console import rich_console, table
from trainer.report.fitting import natural_width
from trainer.storage.untrusted import check_file
from trainer.sweep.manifest import Job, Manifest

REDRAW = 0.5  # seconds
TAIL = 4096  # bytes of metrics.jsonl
METRICS = 2  # shown of the validation split
COLUMNS = ["overrides", "job", "state", "epoch", "val", "s"]
FIRST = ("running", "failed", "killed", "refused", "preempted", "pending", "finished", "skipped")


class JobsTable:
    """Shows a manifest's jobs while they run."""

    def __init__(self, manifest: Manifest, *, quiet: bool) -> None:
        self.manifest = manifest
        self.screen = rich_console(quiet=quiet)
        self.live: Live | None = None
        self.drawn = 0.0
        self.began: dict[int, float] = {}
        self.seen: dict[int, dict[str, Any]] = {}  # the latest events by job

    def __enter__(self) -> "JobsTable":
        if self.screen.is_terminal and not self.screen.quiet:
            self.live = Live(console=self.screen, auto_refresh=False)  # no thread: jobs are forks
            self.live.start()
        for job in self.manifest.jobs:
            if job.state in ("skipped", "refused") and job.folder is not None:
                self.print_line(job)
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.update(self.drawing(), refresh=True)
            self.live.stop()
        counts = ", ".join(f"{count} {state}" for state, count in self.manifest.counts().items())
        self.screen.print(plain(f"sweep: {counts}; {self.manifest.path}/summary.json"))

    def print_line(self, job: Job) -> None:
        """Print a job's new state as a line; failures go to stderr."""
        if job.state == "running":
            self.began[job.number] = time.monotonic()
        name = f"job {job.number} ({self.manifest.varied(job)})"
        if not (job.done or job.state in ("pending", "running", "preempted")):
            log = f"; log: {job.log}" if job.attempts else ""
            complain(f"{name} {job.state}: {job.error}{log}")
        elif self.live is None:
            time_taken = f" in {job.seconds:.1f} s" if job.state == "finished" else ""
            final = "".join(f"  {split} {short(m)}" for split, m in job.result().items())
            self.screen.print(plain(f"{name} {job.state}{time_taken}{final}"))

    def refresh(self) -> None:
        """Redraw the table, at most twice a second."""
        if self.live is not None and time.monotonic() - self.drawn >= REDRAW:
            self.drawn = time.monotonic()
            self.live.update(self.drawing(), refresh=True)

    def drawing(self) -> Table:
        """The table; if it does not fit the screen, the jobs that matter most."""
        room = max(5, self.screen.size.height - 6)
        jobs = sorted(self.manifest.jobs, key=lambda job: FIRST.index(job.state))[:room]
        rows = [self.row(job) for job in sorted(jobs, key=lambda job: job.number)]
        counts = ", ".join(f"{count} {state}" for state, count in self.manifest.counts().items())
        measured = [short(seen["val"]) for seen in self.seen.values() if "val" in seen]
        names = " ".join(measured[0].split()[::2]) if measured else ""
        columns = [f"{name} {names}".strip() if name == "val" else name for name in COLUMNS]
        drawing = table(f"{self.manifest.path.name}: {counts}", columns, rows)
        room = self.screen.width - natural_width(drawing) + max(len(row[0]) for row in rows)
        return table(str(drawing.title), columns, [[cut(row[0], room), *row[1:]] for row in rows])

    def row(self, job: Job) -> list[str]:
        """The cells of a job's row, in the order of COLUMNS."""
        seen = self.seen.setdefault(job.number, {})
        if job.folder is not None and (job.state == "running" or not seen):
            seen |= last_events(job.folder / "metrics.jsonl")
        epochs = "" if job.config is None else f"/{job.config.epochs}"
        epoch = f"{seen['epoch']}{epochs}" if "epoch" in seen else ""
        seconds = job.seconds
        if job.state == "running":
            seconds += time.monotonic() - self.began[job.number]
        state = job.state + (f" {job.attempts}" if job.attempts > 1 else "")
        val = " ".join(short(seen.get("val", {})).split()[1::2])  # the heading names them
        return [
            self.manifest.varied(job),
            str(job.number),
            state,
            epoch,
            val,
            f"{seconds:.0f}",
        ]


def cut(text: str, width: int) -> str:
    """The end of a text that is too wide: jobs often differ in the last setting alone."""
    if len(text) > width:
        text = re.sub(r"(^| )[\w.]*\.(?=\w+=)", r"\1", text)  # optimizer.lr=1: lr=1
    return text if len(text) <= width else f"…{text[1 - max(width, 2) :]}"


def last_events(path: Path) -> dict[str, Any]:
    """The latest epoch and validation metrics, from the last few KB of a metrics.jsonl."""
    try:
        check_file(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read(TAIL).decode(errors="replace").split("\n")[:-1]
    except (OSError, CheckpointError):
        return {}
    found: dict[str, Any] = {}
    for event in map(event_of, lines):
        if event.get("split") in ("train", "val"):
            found["epoch"] = event["epoch"] + 1
        if event.get("split") == "val":
            found["val"] = event
    return found


def event_of(line: str) -> dict[str, Any]:
    """The event of a line; empty where it is cut off or no event."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) and isinstance(event.get("epoch"), int) else {}


def short(metrics: Mapping[str, Any]) -> str:
    """A split's loss and the metric after it; the entries before them are the run's progress.

    A dash stands for null, which is written for a number that is not finite.
    """
    names = list(metrics)
    names = names[names.index("loss") :] if "loss" in names else names
    numbers = [(name, finite(metrics[name])) for name in names]
    known = [(name, n) for name, n in numbers if n is not None or metrics[name] is None]
    return " ".join(f"{name} {'–' if n is None else f'{n:.4f}'}" for name, n in known[:METRICS])
