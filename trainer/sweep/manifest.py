"""The state of each job of a sweep, in `manifest.json`, and its results, in `summary.json`."""

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from trainer.core.errors import CheckpointError, TrainerError
from trainer.core.number import finite
from trainer.storage.run_folder import RunFolder, now, write_json
from trainer.storage.untrusted import read_json

DONE = ("finished", "skipped")


@dataclass
class Job:
    """One job of a sweep.

    Its state is pending, running, finished, failed (a non-zero exit code), killed (by a signal,
    without saving), preempted (stopped by a signal, its state saved), skipped (finished before) or
    refused (its config is wrong).
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
        """Whether the job has a result."""
        return self.state in DONE

    @property
    def log(self) -> Path | None:
        """The file that its stdout and stderr are written to."""
        return self.folder and self.folder / "job.log"

    @property
    def status(self) -> dict[str, Any]:
        """Its run's `status.json`; empty if there is none."""
        try:
            return RunFolder(self.folder).status if self.folder else {}
        except TrainerError:
            return {"state": "unreadable"}  # the job itself reports the error

    def refuse(self, error: str) -> None:
        """Mark the job as refused, with the reason."""
        self.state, self.exit_code, self.error = "refused", 2, error

    def entry(self) -> dict[str, Any]:
        """The job's entry in the manifest."""
        plain = ("number", "overrides", "state", "exit_code", "attempts", "pid", "gpu", "error")
        return {name: getattr(self, name) for name in plain} | {
            "seconds": round(self.seconds, 3),
            "folder": self.folder and self.folder.name,
            "log": str(self.log) if self.attempts else None,
        }

    def result(self) -> dict[str, dict[str, float | None]]:
        """The final metrics by split."""
        return final_metrics(self.folder / "result.json") if self.folder and self.done else {}


class Manifest(RunFolder):
    """The folder of a sweep, locked by one process and its jobs at a time."""

    def __init__(self, path: Path, refused: Sequence[Job]) -> None:
        super().__init__(path)
        self.claim(fresh=False)  # jobs inherit the lock: it lasts until the last has ended
        self.jobs = list(refused)
        self.began = time.monotonic()

    def add(self, jobs: Sequence[Job]) -> None:
        """Add a batch of jobs, and write the manifest."""
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
        """The overrides of a job that not all jobs have."""
        shared = set.intersection(*(set(one.overrides) for one in self.jobs))
        return " ".join([o for o in job.overrides if o not in shared] or job.overrides)

    def varied_settings(self) -> list[str]:
        """The names of the settings that not all jobs have alike."""
        every = Counter(override for job in self.jobs for override in job.overrides)
        varied = [override for override, number in every.items() if number < len(self.jobs)]
        return list(dict.fromkeys(one.lstrip("+~").partition("=")[0] for one in varied))

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        return dict(Counter(job.state for job in self.jobs))

    def finish(self, stopped: int | None, *, complete: bool = True) -> None:
        """Write the final manifest and summary; `stopped` is the signal that ended the sweep.

        Not `complete` is a sweep that stops jobs itself once it can do without them.
        """
        fine = DONE if complete else (*DONE, "preempted", "pending")
        good = all(job.state in fine for job in self.jobs)
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


def final_metrics(path: Path) -> dict[str, dict[str, float | None]]:
    """The metrics of val and test in a `result.json`; empty if it is missing or damaged."""
    try:
        result = read_json(path)
    except CheckpointError:
        return {}
    return {split: numbers_in(result[split]) for split in ("val", "test") if split in result}


def numbers_in(metrics: object) -> dict[str, float | None]:
    """The finite numbers of what should be a mapping; None stays, for a number that was not."""
    entries = metrics.items() if isinstance(metrics, dict) else ()
    numbers = {str(name): (finite(value), value) for name, value in entries}
    return {
        name: number for name, (number, was) in numbers.items() if number is not None or was is None
    }
