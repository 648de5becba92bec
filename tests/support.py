"""Composing configs and running jobs in process."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from trainer.__main__ import CONF, register
from trainer.console import Console
from trainer.folder import RunFolder
from trainer.run import Run, execute

QUICK = ("epochs=2", "quiet=true", "dataset.val_fraction=0.1", "model=mlp", "device=cpu")


def config_of(*overrides: str) -> dict[str, Any]:
    """The resolved settings that the overrides compose to."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", list(overrides))
    return OmegaConf.to_container(config, resolve=True)  # pyright: ignore


@cache
def options(group: str) -> list[str]:
    """Names of a group's options."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@cache
def node_of(group: str, option: str) -> dict[str, Any]:
    """One option of a group, composed."""
    return config_of(f"{group}={option}")[group]


def make_run(folder: Path, *overrides: str, **groups: str) -> Run:
    """The parts of a run; `groups` names options that are composed once and cached."""
    config = config_of(*overrides) | {group: node_of(group, o) for group, o in groups.items()}
    return Run(config, RunFolder(folder), Console(quiet=True), list(overrides), [str(CONF)])


def train(folder: Path, *overrides: str) -> int:
    """Run a job in process; its exit code."""
    arguments = [*QUICK, *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
