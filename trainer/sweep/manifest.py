"""What became of each job of a sweep: `manifest.json` at each change, `summary.json` at the end."""

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from trainer.core.errors import TrainerError
from trainer.storage.run_folder import RunFolder, now, write_json

DONE = ("finished", "skipped")
NOT_COMPARED = ("resume", "resume_allow", "quiet", "debug")


@dataclass
class Job:
    """One job of a sweep.

    Its state is pending, running, finished, failed (it ended with an exit code other than 0),
    killed (a signal that it did not answer ended it), preempted (a signal stopped it, and its
    state is saved), skipped (it was finished before) or refused (its config is wrong).
    """

    number: int
    overrides: list[str]
    folder: Path | None = None
    config: DictConfig | None = None
    state: str = "pending"
    exit_code: int | None = None
    seconds: float = 0.0  # of all attempts
    attempts: int = 0
    pid: int | None = None
    gpu: str | None = None
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether there is its result."""
        return self.state in DONE

    @property
    def log(self) -> Path | None:
        """Where its stdout and stderr go."""
        return self.folder and self.folder / "job.log"

    @property
    def status(self) -> dict[str, Any]:
        """The `status.json` of its run; empty where there is none."""
        try:
            return RunFolder(self.folder).status if self.folder else {}
        except TrainerError:
            return {"state": "unreadable"}  # which the job itself will say

    def refuse(self, error: str) -> None:
        """Leave it out."""
        self.state, self.exit_code, self.error = "refused", 2, error

    def entry(self) -> dict[str, Any]:
        """Its part of the manifest."""
        plain = ("number", "overrides", "state", "exit_code", "attempts", "pid", "gpu", "error")
        return {name: getattr(self, name) for name in plain} | {
            "seconds": round(self.seconds, 3),
            "folder": self.folder and self.folder.name,
            "log": str(self.log) if self.attempts else None,
        }

    def result(self) -> dict[str, Any]:
        """The final metrics by split."""
        held = read(self.folder / "result.json") if self.folder and self.done else {}
        return {split: held[split] for split in ("val", "test") if split in held}


class Manifest(RunFolder):
    """The folder of a sweep. One process at a time works in it, and the jobs that are its own."""

    def __init__(self, path: Path, refused: Sequence[Job]) -> None:
        super().__init__(path)
        self.claim(fresh=False)  # the jobs inherit the lock: it is held until the last has ended
        self.jobs = list(refused)
        self.began = time.monotonic()

    def add(self, jobs: Sequence[Job]) -> None:
        """Take in a batch of jobs."""
        self.jobs = sorted([*self.jobs, *jobs], key=lambda job: job.number)
        self.write()

    def write(self, state: str = "running") -> None:
        """Write `manifest.json` atomically."""
        value = {
            "state": state,
            "command": sys.argv[1:],
            "started": self.started,
            "ended": None if state == "running" else now(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "jobs": [job.entry() for job in self.jobs],
        }
        write_json(self.path / "manifest.json", value)

    def varied(self, job: Job) -> str:
        """The overrides of a job that not all jobs share."""
        shared = set.intersection(*(set(one.overrides) for one in self.jobs))
        return " ".join([o for o in job.overrides if o not in shared] or job.overrides)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict(Counter(job.state for job in self.jobs))

    def finish(self, stopped: int | None) -> None:
        """Write both files as they stand at the end; `stopped`: by which signal."""
        good = all(job.done for job in self.jobs)
        state = "preempted" if stopped else "finished" if good else "failed"
        self.write(state)
        failures = [job for job in self.jobs if job.state in ("failed", "killed", "refused")]
        shown = ("number", "overrides", "state", "exit_code", "attempts", "error", "log")
        value = {
            "state": state,
            "exit_code": 128 + stopped if stopped else 0 if good else 1,
            "seconds": round(time.monotonic() - self.began, 3),
            "counts": self.counts(),
            "failures": [{key: job.entry()[key] for key in shown} for job in failures],
            "results": [
                {key: job.entry()[key] for key in ("number", "overrides", "folder")} | job.result()
                for job in self.jobs
                if job.done
            ],
        }
        write_json(self.path / "summary.json", value)


def read(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none that is whole."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def changes(folder: Path, config: dict[str, Any]) -> str:
    """Settings of a finished run that are others now: `epochs: 3 → 5, ...`; at most three."""
    try:
        before = yaml.safe_load((folder / "config.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return "its config.yaml cannot be read"
    found = [one for one in differing(before, config) if not one.startswith(NOT_COMPARED)]
    return ", ".join(found[:3])


def differing(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """What differs among the settings that both have: a new one has its default's effect."""
    for key in before.keys() & after.keys():
        was, is_now = before[key], after[key]
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from differing(was, is_now, f"{prefix}{key}.")
        elif was != is_now:
            yield f"{prefix}{key}: {was} → {is_now}"
