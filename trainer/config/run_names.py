"""Runs named on the command line: `run=latest`, or part of a run's path, such as `run=10-15`."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from trainer.core.errors import ConfigError, disk_error

OUTPUTS = Path("outputs")  # where hydra.run.dir and hydra.sweep.dir put runs
SETTINGS = (  # that name a run
    "run",
    "runs",
    "resume",
    "finetune.source",
    "distill.teacher",
    "mining.reference",
    "sampler.reference",
)
ITEM = re.compile(r"\"[^\"]*\"|'[^']*'|[^\[\],\"']+")
PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # needs no quotes on the command line
TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node")
SHOWN = 4  # runs in a message


def with_paths(argument: str) -> str:
    """The argument with the name of a run replaced by its path. Raises ConfigError if ambiguous."""
    setting, equals, value = argument.partition("=")
    if setting.lstrip("+") not in SETTINGS:
        return argument
    return setting + equals + ITEM.sub(lambda item: with_path(item[0], setting), value)


def with_path(item: str, setting: str) -> str:
    """One value, quoted or not, with the name of a run replaced by its path."""
    name = item.strip(" \"'")
    if name in ("", "null", "auto") or ":" in name or os.path.exists(name):  # noqa: PTH110  (no error for an unreadable folder)
        return item
    reference, checkpoints, step = name.partition("/checkpoints/")
    path = find(reference, setting)
    return item if path is None else quoted(f"{path}{checkpoints}{step}")


def find(name: str, setting: str) -> Path | None:
    """The newest run that has trained if the name is `latest`, else the run with it in its path.

    A whole name wins over a part of one: of the jobs of a sweep, `sweep/1` is 1, or 1-lr=0.1, not
    10. None if there is no such run. Raises ConfigError for a name that several have.
    """
    if name == "latest":
        trained = [run for run in runs() if (run / "checkpoints").is_dir()]
        return max(trained, key=started, default=None)
    found = [run for run in runs() if name in run.as_posix()]
    found = whole(name, found) or found
    if len(found) > 1:
        newest = sorted(found, key=started, reverse=True)
        names = ", ".join(map(str, newest[:SHOWN])) + (", ..." if len(newest) > SHOWN else "")
        raise ConfigError(f"{setting}={name} may be any of {len(newest)} runs: {names}")
    return next(iter(found), None)


def whole(name: str, found: list[Path]) -> list[Path]:
    """Those of the runs found whose path ends in the name, or else has it up to a word's end.

    The latter counts for names with a slash, which are of a run inside a folder.
    """
    parts = Path(name).parts
    if exact := [run for run in found if run.parts[-len(parts) :] == parts]:
        return exact
    if "/" not in name:
        return []
    word = re.compile(rf"{re.escape(name)}(?!\w)")
    return [run for run in found if word.search(run.as_posix())]


def not_found(setting: str, name: str, advice: str) -> str:
    """A sentence about a name that no run has: what is there instead, or else what to give."""
    if name == "latest":
        advice = f"none has trained below {OUTPUTS} in the current folder"
    elif Path(name).is_dir() and (inside := sorted(Path(name).glob("*/config.yaml"))):
        advice = f"the folder holds {len(inside)}, such as {inside[0].parent}; give one of them"
    return f"{setting}={name}: no run there; {advice}"


def runs() -> Iterator[Path]:
    """The run folders below `outputs`: of a day, of a sweep, or directly in it.

    Raises DiskError where it is there and cannot be read.
    """
    try:
        os.listdir(OUTPUTS)  # noqa: PTH208  (a pattern finds nothing in it, silently)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise disk_error(error, OUTPUTS) from error
    for pattern in ("*/*/config.yaml", "*/config.yaml"):
        for config in OUTPUTS.glob(pattern):
            if (config.parent / "status.json").is_file():
                yield config.parent


def started(run: Path) -> float:
    """When a run was started, or resumed: its settings are written then."""
    return (run / "config.yaml").stat().st_mtime


def quoted(path: str) -> str:
    """A path as the value of a setting; Hydra reads some characters only in quotes."""
    if PLAIN.fullmatch(path):
        return path
    last = len(path) - len(path.rstrip("\\"))  # backslashes before the closing quote
    return '"' + path.replace('"', '\\"') + "\\" * last + '"'


def command(path: Path, *, processes: int, config_folders: list[str]) -> str:
    """The line that continues the run in a folder, as it is pasted into a shell."""
    start = ["python"] if processes == 1 else [*TORCHRUN, str(processes)]
    folders = [word for folder in config_folders for word in ("--config-dir", folder)]
    return shlex.join([*start, "-m", "trainer", *folders, f"resume={quoted(str(path))}"])
