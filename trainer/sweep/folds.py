"""Pools what the runs of a sweep over folds predict for their own folds, in one file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainer.core.errors import TrainerError, complain
from trainer.core.text import count, plain
from trainer.storage.out_of_fold import FILE, RUN, SETTINGS, Row, read_rows, write_rows
from trainer.sweep.manifest import Job, Manifest

FOLD = "dataset.fold="  # the override that a sweep varies
MULTILABEL = "trainer.task.multilabel.Multilabel"


def pool(manifest: Manifest) -> str | None:
    """Write the sweep's `out_of_fold.csv`. Returns lines about it; None without any folds.

    A file that cannot be read or written is reported, and ends nothing: the runs are done.
    """
    jobs = [job for job in manifest.jobs if job.done and job.folder and has_folds(job.folder)]
    if not jobs:
        return None
    try:
        columns = dict.fromkeys(name for job in jobs for name in header(job))
        path = write_rows(manifest.path, [RUN, SETTINGS, *columns], rows(manifest, jobs, columns))
    except TrainerError as error:
        complain(f"out-of-fold predictions are not pooled: {error}")
        return None
    return "\n".join([f"out of fold: {path}", *summary(jobs)])


def has_folds(folder: Path) -> bool:
    """Whether a run has predicted its own fold."""
    return (folder / FILE).is_file()


def header(job: Job) -> list[str]:
    """The columns of a job's file."""
    assert job.folder is not None  # noqa: S101
    return list(next(read_rows(job.folder), {}))


def rows(manifest: Manifest, jobs: list[Job], columns: dict[str, None]) -> Iterator[list[str]]:
    """The rows of all jobs, with empty cells where one has no such column."""
    for job in jobs:
        assert job.folder is not None  # noqa: S101
        run, settings = str(job.folder.relative_to(manifest.path)), settings_of(job)
        for row in read_rows(job.folder):
            yield [run, settings, *(row.get(name, "") for name in columns)]


def settings_of(job: Job) -> str:
    """The overrides of a job but for its fold."""
    return " ".join(one for one in job.overrides if not one.lstrip("+").startswith(FOLD))


@dataclass
class Tally:
    """The out-of-fold predictions of runs with the same settings."""

    wanted: int  # folds
    measure: str = "accuracy"  # what the fraction of right predictions is called
    folds: set[str] = field(default_factory=set)
    examples: int = 0
    right: int = 0

    def add(self, row: Row) -> None:
        """Count an example."""
        self.examples += 1
        self.folds.add(row.get("fold", ""))
        self.right += row.get("label", "") == row.get("prediction", "-")

    def __str__(self) -> str:
        parts = [count(self.examples, "example")]
        if self.right:
            parts.append(f"{self.measure} {self.right / self.examples:.4f}")
        if len(self.folds) < self.wanted:
            parts.append(f"only folds {', '.join(sorted(self.folds))} of {self.wanted}")
        return ", ".join(parts)


def summary(jobs: list[Job]) -> list[str]:
    """The examples and accuracy of the jobs with the same settings, and the folds that lack."""
    found: dict[str, Tally] = {}
    for job in jobs:
        assert job.folder is not None  # noqa: S101
        tally = found.setdefault(settings_of(job), Tally(folds_of(job), measure_of(job)))
        for row in read_rows(job.folder):
            tally.add(row)
    shared = set.intersection(*(set(settings.split(" ")) for settings in found))
    lines = []
    for settings, tally in found.items():
        varied = " ".join(word for word in settings.split(" ") if word not in shared)
        lines.append(plain(f"  {varied}: {tally}" if varied else f"  {tally}"))
    return lines


def folds_of(job: Job) -> int:
    """The number of folds by a job's settings."""
    assert job.config is not None  # noqa: S101
    return int(job.config.dataset.folds or 0)


def measure_of(job: Job) -> str:
    """The metric that is the fraction of examples whose whole prediction is right."""
    assert job.config is not None  # noqa: S101
    return "exact_match" if job.config.task.get("_target_") == MULTILABEL else "accuracy"
