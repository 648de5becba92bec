"""Run folders as untrusted data: found by their status, read with limits, nothing imported."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from trainer.core.errors import CheckpointError, ConfigError, disk_error
from trainer.core.number import finite
from trainer.core.option import option_name
from trainer.core.text import plain
from trainer.storage.config_file import read_config
from trainer.storage.untrusted import read_json, read_text

STATUS = "status.json"
MAX_DEPTH = 4  # folders below the one given
MAX_RUNS = 10_000
MAX_BYTES = 2**28  # of metrics.jsonl
LARGEST = 2**25  # bytes of result.json, which has a confusion matrix
MAX_SETTINGS = 5000  # of a run
MAX_METRICS = 1000  # of a split
MAX_REASON = 300  # characters
SPLITS = ("train", "val", "test")
STARTUP = "startup_seconds"
NUMBERS = (  # of a result
    *("epochs", "steps", "train_seconds", STARTUP, "compile_seconds"),
    *("examples_seen", "backward_passes"),
)
TRAIN_JOB = "trainer.job.train.Train"


@dataclass(frozen=True)
class FinishedRun:
    """A finished training run: its config, final metrics and costs, and validations."""

    folder: Path
    seed: int
    config: dict[str, Any]
    result: dict[str, Any]
    validations: list[dict[str, Any]]  # lines of metrics.jsonl, in order of epochs
    folds: int | None = None  # of which it is all together, one run
    not_pooled: tuple[str, ...] = ()  # metrics, `val/mAP`, that are not known of all folds together

    def final(self, metric: str) -> float | None:
        """Return a final metric such as `test/accuracy`; None if it is missing or not finite."""
        split, _, name = metric.partition("/")
        metrics = self.result.get(split)
        return finite(metrics.get(name)) if isinstance(metrics, dict) else None

    def spent(self, name: str) -> float | None:
        """Return a total cost such as `backward_passes`; None if it is missing."""
        return finite(self.result.get(name))

    @property
    def machine(self) -> str:
        """The device, its name where the run has recorded it, and the number of threads."""
        about = ("device", "machine", "threads")
        device, name, threads = (plain(f"{self.result.get(key, '')!s:.80}") for key in about)
        named = f"{device} ({name})" if name else device
        return f"{named}, {threads} thread{'s' * (threads != '1')}"


@dataclass(frozen=True)
class SkippedRun:
    """A folder that is not part of the comparison, and why in one line."""

    folder: Path
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", plain(self.reason[:MAX_REASON]))


def find_runs(paths: list[str]) -> list[Path]:
    """Return the run folders under `paths`, each a run, a folder of runs or a pattern.

    Raises ConfigError if a path holds no run, or all together hold more than MAX_RUNS, DiskError
    for a folder that cannot be read.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        runs = [run for folder in matching_folders(path) for run in runs_below(folder)]
        if not runs:
            raise ConfigError(
                f"runs={path}: no run found; give run folders, or a folder that contains some"
            )
        folders |= dict.fromkeys(runs)
        if len(folders) > MAX_RUNS:
            raise ConfigError(f"runs={path}: more than {MAX_RUNS:,} runs")
    return list(folders)


def matching_folders(path: str) -> list[Path]:
    """Return the folder of a path, or those that match its pattern, in natural order."""
    if os.path.lexists(path) or not re.search(r"[*?\[]", path):
        return [Path(path)]
    anchor = Path(path).anchor
    return sorted(Path(anchor).glob(path.removeprefix(anchor)), key=natural_key)


def runs_below(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, otherwise the runs below it, none inside another.

    Raises DiskError for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise disk_error(error, folder) from error

    runs = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        if STATUS in files:
            runs.append(Path(parent))
        if STATUS in files or len(Path(parent).relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
    return sorted(runs, key=natural_key)


def natural_key(path: Path) -> list[Any]:
    """Sort key for paths that orders the numbers in them by value: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def read_run(folder: Path) -> FinishedRun | SkippedRun:
    """Read a finished run of job=train; for anything else, return the reason for skipping it."""
    try:
        status = read_json(folder / STATUS)
        config = read_config(folder / "config.yaml")
        job, seed = config.get("job", {}).get("_target_"), config.get("seed")
        if job != TRAIN_JOB:
            return SkippedRun(folder, f"not a training run: job={option_name(job)}")
        if status.get("state") != "finished":
            return SkippedRun(folder, describe_state(status))
        if isinstance(seed, bool) or not isinstance(seed, int):
            return SkippedRun(folder, "no seed in its config")
        if count_leaves(config) > MAX_SETTINGS:
            return SkippedRun(folder, f"its config has more than {MAX_SETTINGS:,} settings")
        result = read_json(folder / "result.json", LARGEST)
        if problem := wrong_type(result):
            return SkippedRun(folder, f"{folder / 'result.json'}: {problem}")
        lines = validations(folder / "metrics.jsonl")
        return FinishedRun(folder, seed, config, steady(result), [*map(steady, lines)])
    except CheckpointError as error:
        return SkippedRun(folder, str(error))


def steady(numbers: dict[str, Any]) -> dict[str, Any]:
    """The same without the seconds of the first steps, in which older runs compile."""
    seconds, startup = (finite(numbers.get(name)) for name in ("train_seconds", STARTUP))
    if seconds is None or startup is None:
        return numbers
    return numbers | {"train_seconds": max(0.0, seconds - startup)}


def count_leaves(node: object) -> int:
    """Count the values inside nested mappings and lists."""
    if isinstance(node, dict):
        return sum(map(count_leaves, node.values()))
    return sum(map(count_leaves, node)) if isinstance(node, (list, tuple)) else 1


def wrong_type(result: dict[str, Any]) -> str:
    """Describe what a result has instead of metrics by split; empty where nothing is wrong."""
    for name in NUMBERS:
        if not is_number(result.get(name)):
            return f"{name} must be a number, got {result[name]!r:.80}"
    for split in SPLITS:
        metrics = result.get(split, {})
        if not isinstance(metrics, dict):
            return f"{split} must be a mapping of metrics, got {metrics!r:.80}"
        if len(metrics) > MAX_METRICS:
            return f"{split} has more than {MAX_METRICS:,} metrics"
        for name, value in metrics.items():
            if not is_number(value):
                return f"{split}/{name:.80} must be a number, got {value!r:.80}"
    return ""


def is_number(value: object) -> bool:
    """Whether a value is a number, or null in place of one that is not finite."""
    return isinstance(value, (int, float, NoneType)) and not isinstance(value, bool)


def describe_state(status: dict[str, Any]) -> str:
    """Describe the state of an unfinished run, with its error if it has one."""
    error = status.get("error")
    return f"{status.get('state')}{f': {error}' if error else ''}"


def validations(path: Path) -> list[dict[str, Any]]:
    """Read the lines of the validation split, adding `epochs`; malformed lines are skipped."""
    lines = []
    for text in read_text(path, MAX_BYTES).splitlines():
        if '"val"' not in text:
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if (
            isinstance(line, dict)
            and line.get("split") == "val"
            and finite(line.get("epoch")) is not None
        ):
            lines.append(line | {"epochs": line["epoch"] + 1})
    return lines
