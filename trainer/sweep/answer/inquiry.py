"""The runs of an answer sweep: which to start, what each has found, and when to end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.core.errors import CheckpointError, ConfigError
from trainer.core.metric import COMPARED, direction
from trainer.storage.run_folder import write_json
from trainer.storage.untrusted import read_json
from trainer.sweep.answer.decide import Rules
from trainer.sweep.answer.evidence import Evidence, Place
from trainer.sweep.answer.settings import Limits
from trainer.sweep.answer.strategies import SEED, Strategy
from trainer.sweep.feed import Feed
from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.places import check_path, keep_or_refuse
from trainer.sweep.table import JobsTable

FILE = "answer.json"
SAVE = 5.0  # seconds between records of the time spent
TUNING = 10_000  # the seed of the search is the first seed plus this
SPLITS = ("test", "val")

Admit = Callable[[int, list[str]], Job]
Show = Callable[["Inquiry", Manifest], JobsTable]


@dataclass
class Found:
    """The result of the search for a strategy's settings."""

    job: Job
    settings: list[str] | None = None  # None: it has not ended, or failed
    value: float | None = None


class Inquiry(Feed):
    """Names the runs that the answer still needs, and takes their results.

    `admit` makes a job of its number and overrides, `show` what shows them; `folder` is the
    sweep's.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        baseline: Strategy,
        first_seed: int,
        limits: Limits,
        folder: Path,
        admit: Admit,
        show: Show,
    ) -> None:
        self.strategies = {one.label: one for one in strategies}
        self.first_seed, self.limits = first_seed, limits
        self.folder, self.admit, self.show = folder, admit, show
        self.metric = limits.metric
        others = [one.label for one in strategies if one is not baseline]
        self.evidence = Evidence(baseline.label, others, self.rules, limits.seeds)
        keys = {word.partition("=")[0]: None for one in strategies for word in one.label.split()}
        self.varied = [*keys, SEED]
        self.jobs: dict[Place, Job] = {}
        self.searches: dict[str, Found] = {}
        self.notes: list[str] = []  # runs without a result
        self.before = spent_before(folder)
        self.began = self.saved = time.monotonic()

    @property
    def rules(self) -> Rules:
        """When a strategy is decided; whether low is better is known with the metric."""
        limits = self.limits
        low = self.metric is not None and direction(self.metric) == "min"
        return Rules(limits.level, limits.first, limits.margin, low)

    @property
    def spent(self) -> float:
        """The seconds of this command and of those before it in the folder."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """The seconds of the budget that are left; None without one."""
        return None if self.limits.budget is None else max(0.0, self.limits.budget - self.spent)

    @property
    def wanted(self) -> bool:
        """Whether more runs are wanted."""
        return not self.over

    @property
    def over(self) -> bool:
        """Whether the answer is known, or the budget or the seeds are spent."""
        return self.evidence.finished or self.left == 0.0

    def more(self, room: int) -> list[Job]:
        """At most `room` runs to start now; those that have ended before are taken at once."""
        found: list[Job] = []
        while len(found) < room and self.wanted:
            job = self.next()
            if job is None:
                break
            if job.state == "pending":
                found.append(job)
            else:
                self.ended(job)
        return found

    def next(self) -> Job | None:
        """The next search or run; None where it has to wait for others."""
        for label in self.strategies if self.limits.tune else ():
            if label not in self.searches and label in self.evidence.wanted():
                job = self.admit(len(self.searches), self.search_of(self.strategies[label]))
                self.searches[label] = Found(job)
                return job
        place = self.evidence.next(self.ready())
        return None if place is None else self.job_at(place)

    def round(self) -> list[Job] | None:
        """The runs before the next look, for launchers that run a batch to its end.

        The results of those that have ended before are taken. None if no more are wanted.
        """
        if self.limits.tune and len(self.searches) < len(self.strategies):
            jobs = [job for _ in self.strategies if (job := self.next()) is not None]
        else:
            jobs = [self.job_at(place) for place in self.evidence.round(self.ready())]
        for job in jobs:
            if job.state != "pending":
                self.ended(job)
        return [job for job in jobs if job.state == "pending"] if jobs else None

    def ready(self) -> list[str]:
        """The strategies whose settings are known."""
        return [label for label in self.strategies if self.settings_of(label) is not None]

    def settings_of(self, label: str) -> list[str] | None:
        """What the search has found for a strategy; None if it is not known."""
        found = self.searches.get(label)
        return found.settings if found else None if self.limits.tune else []

    def search_of(self, strategy: Strategy) -> list[str]:
        """The overrides of the search for a strategy's settings."""
        space = ",".join(f"{key}:{quoted(value)}" for key, value in leaves(self.limits.tune))
        name = [f"job.metric=val/{self.metric.partition('/')[2]}"] if self.metric else []
        own = ["job=tune", f"job.space={{{space}}}", f"job.trials={self.limits.trials}"]
        seed = f"{SEED}={self.first_seed + TUNING}"
        return [*strategy.overrides, *own, *name, "job.pruner=none", seed]

    def job_at(self, place: Place) -> Job:
        """The run of a strategy with a seed."""
        label, number = place
        own = [*self.strategies[label].overrides, *(self.settings_of(label) or [])]
        numbered = len(self.searches) + number * len(self.strategies)
        numbered += list(self.strategies).index(label)
        job = self.admit(numbered, [*own, f"{SEED}={self.first_seed + number}"])
        self.jobs[place] = job
        return job

    def ended(self, job: Job) -> None:
        """Take the result of a run or of a search; one that was stopped goes on another time."""
        if job.state == "preempted":
            return
        search = next((k for k, found in self.searches.items() if found.job is job), None)
        if search is not None:
            self.end_search(search, job)
        else:
            place = next(place for place, one in self.jobs.items() if one is job)
            self.evidence.record(*place, self.value_of(place, job))
        self.save()

    def end_search(self, label: str, job: Job) -> None:
        """Take the settings that a search has found."""
        result = result_of(job)
        settings = result.get("settings")
        if not isinstance(settings, list):
            self.notes.append(f"{label}: its search has no result: {job.error or 'none finished'}")
            self.evidence.give_up(label)
            return
        found = self.searches[label]
        found.settings, found.value = [str(one) for one in settings], result.get("value")

    def value_of(self, place: Place, job: Job) -> float | None:
        """A run's metric; None, with a note, where it has none."""
        name = f"{place[0]} {SEED}={self.first_seed + place[1]}"
        if not job.done:
            self.notes.append(f"{name} {job.state}" + (f": {job.error}" if job.error else ""))
            return None
        metrics = job.result()
        if self.metric is None and metrics:
            self.metric = first_metric(metrics)
            self.evidence.rules = self.rules
        split, _, metric = (self.metric or "").partition("/")
        if metric not in metrics.get(split, {}):
            known = ", ".join(f"{split}/{name}" for split, own in metrics.items() for name in own)
            raise ConfigError(
                f"hydra.sweeper.metric={self.metric}: {name} has no such metric; "
                f"it has {known or 'none'}"
            )
        value = metrics[split][metric]
        if value is None:
            self.notes.append(f"{name}: {self.metric} is not finite")
        return value

    def table(self, manifest: Manifest, *, quiet: bool) -> JobsTable:
        """A table with a row for each strategy."""
        return self.show(self, manifest)

    def keep_time(self) -> None:
        """Record the time spent every few seconds, so that a kill loses no more of it."""
        if time.monotonic() - self.saved > SAVE:
            self.save()

    def save(self) -> None:
        """Write what is known, and the time spent, to `answer.json`."""
        self.saved = time.monotonic()
        write_json(self.folder / FILE, self.state())

    def state(self) -> dict[str, Any]:
        """What is known, as plain containers."""
        evidence = self.evidence
        return {
            "metric": self.metric,
            "baseline": evidence.baseline,
            "seconds": round(self.spent, 1),
            "level": self.limits.level,
            "margin": self.limits.margin,
            "seeds": [self.first_seed + i for i in evidence.counted(evidence.baseline)],
            "strategies": {
                label: {
                    "verdict": one.verdict,
                    "seeds": len(one.values),
                    "difference": one.mean if one.values else None,
                    "low": one.low,
                    "high": one.high,
                    "p": one.p,
                    "p_corrected": one.adjusted_p,
                    "seeds_needed": one.needed,
                }
                for label, one in evidence.findings.items()
            },
            "tuned": {
                k: {"settings": f.settings, "val": f.value} for k, f in self.searches.items()
            },
            "without_result": self.notes,
        }


def admitted(job: Job, sweep: Path) -> Job:
    """A job after a look at its folder: pending, skipped because it is finished, or refused."""
    assert job.folder is not None  # noqa: S101
    try:
        check_path(sweep, job.folder)
    except CheckpointError as error:
        job.refuse(str(error))
    keep_or_refuse(job)
    return job


def first_metric(metrics: dict[str, dict[str, float | None]]) -> str | None:
    """The metric to compare by, where none is asked for."""
    names = [f"{split}/{name}" for split in SPLITS for name in COMPARED]
    return next((n for n in names if n.split("/")[1] in metrics.get(n.split("/")[0], {})), None)


def result_of(job: Job) -> dict[str, Any]:
    """The `result.json` of a job that is done; empty if there is none."""
    if job.folder is None or not job.done:
        return {}
    try:
        return read_json(job.folder / "result.json")
    except CheckpointError:
        return {}


def spent_before(folder: Path) -> float:
    """The seconds that earlier commands have spent in a sweep's folder."""
    try:
        seconds = read_json(folder / FILE).get("seconds")
    except CheckpointError:
        return 0.0
    return float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else 0.0


def leaves(node: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of nested settings as pairs of dotted name and value."""
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        found += leaves(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found


def quoted(value: Any) -> str:
    """The values of a setting as the text of an override inside braces."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return '"' + text.replace('"', '\\"') + '"'
