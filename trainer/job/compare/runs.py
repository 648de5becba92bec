"""Run folders as data: found by their status, read with limits, no code named in them imported."""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage.saved_run import read_config
from trainer.storage.untrusted import read_json, read_text

STATUS = "status.json"
DEEPEST = 4  # folders below the one that is named
MOST = 10_000  # runs
LARGEST = 2**28  # bytes of metrics.jsonl
TRAINS = "trainer.job.train.Train"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run."""

    folder: Path
    seed: int
    config: dict[str, Any]
    result: dict[str, Any]
    validations: list[dict[str, Any]]  # lines of metrics.jsonl, by epoch

    def final(self, metric: str) -> float | None:
        """A final metric, `test/accuracy`; None where it was not measured or is not finite."""
        split, _, name = metric.partition("/")
        metrics = self.result.get(split)
        return number(metrics.get(name)) if isinstance(metrics, dict) else None

    def spent(self, name: str) -> float | None:
        """A number of the result beside the metrics, such as `backward_passes`."""
        return number(self.result.get(name))


@dataclass(frozen=True)
class SkippedRun:
    """A folder that takes no part in the comparison."""

    folder: Path
    reason: str


def find(paths: list[str]) -> list[Path]:
    """The run folders that paths name: a run, a folder of runs, a pattern of either.

    Raises ConfigError where a path has none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        runs = [run for folder in matching(path) for run in runs_below(folder)]
        if not runs:
            raise ConfigError(
                f"runs={path}: no run there; give run folders, or a folder that holds some"
            )
        found |= dict.fromkeys(runs)
        if len(found) > MOST:
            raise ConfigError(f"runs={path}: more than {MOST:,} runs")
    return list(found)


def matching(path: str) -> list[Path]:
    """A folder, or those that match a pattern."""
    if Path(path).exists() or not re.search(r"[*?\[]", path):
        return [Path(path)]
    anchor = Path(path).anchor
    return sorted(Path(anchor).glob(path.removeprefix(anchor)), key=natural)


def runs_below(folder: Path) -> list[Path]:
    """The folder, if it holds a run, otherwise those below it that do."""
    found = []
    for parent, folders, files in os.walk(folder):
        if STATUS in files:
            found.append(Path(parent))
        if STATUS in files or len(Path(parent).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
    return sorted(found, key=natural)


def natural(path: Path) -> list[Any]:
    """What paths are sorted by: numbers in them as numbers."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def read(folder: Path) -> FinishedRun | SkippedRun:
    """A finished run of job=train; anything else with the reason why it takes no part."""
    try:
        status = read_json(folder / STATUS)
        config = read_config(folder / "config.yaml")
        job, seed = config.get("job", {}).get("_target_"), config.get("seed")
        if job != TRAINS:
            return SkippedRun(folder, f"not a training run: job={option(job)}")
        if status.get("state") != "finished":
            return SkippedRun(folder, unfinished(status))
        if isinstance(seed, bool) or not isinstance(seed, int):
            return SkippedRun(folder, "its config has no seed")
        result = read_json(folder / "result.json")
        return FinishedRun(folder, seed, config, result, validations(folder / "metrics.jsonl"))
    except CheckpointError as error:
        return SkippedRun(folder, str(error))


def option(target: object) -> str:
    """The option that a target is of: the name of its module, where it is one of ours."""
    module, _, _ = str(target).rpartition(".")
    ours = re.fullmatch(r"trainer\.\w+\.(\w+)", module)
    return ours[1].rstrip("_") if ours else str(target)


def unfinished(status: dict[str, Any]) -> str:
    """The state of a run that has no result, and its error."""
    error = status.get("error")
    return f"{status.get('state')}{f': {error}' if error else ''}"


def validations(path: Path) -> list[dict[str, Any]]:
    """The lines of the validation split; those that cannot be read are passed over."""
    lines = []
    for text in read_text(path, LARGEST).splitlines():
        if '"val"' not in text:
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if (
            isinstance(line, dict)
            and line.get("split") == "val"
            and number(line.get("epoch")) is not None
        ):
            lines.append(line | {"epochs": line["epoch"] + 1})
    return lines


def number(value: object) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
