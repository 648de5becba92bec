"""Runs read back: their config is data, never code of ours to follow blindly.

A run folder may come from anywhere. Its config is read as plain YAML, nothing in it is
interpolated, and it may name only code that the config tree and the command line in use name
themselves, and torch's optimizers. Nothing is fetched on its word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from trainer.config.build import CODE
from trainer.config.schema import GROUPS
from trainer.config.yaml_limits import LOADER, exceeded_limit
from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage import checkpoint
from trainer.storage.checkpoint import Checkpoint
from trainer.storage.untrusted import check_tree, read_text

if TYPE_CHECKING:
    from trainer.run.run import Run

HARMLESS = {"download": False, "cache": "auto"}  # what would write where another's config says
NAMED = re.compile(rf"^[^#\n]*?\b(?:{'|'.join(CODE)}):\s*['\"]?([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class SavedRun:
    """A run folder, or one checkpoint of it."""

    folder: Path
    step: Path | None  # the checkpoint asked for; None: the best one

    @classmethod
    def at(cls, path: str | None, setting: str = "run") -> SavedRun:
        """The run at a path that a setting names.

        Raises ConfigError where there is none, CheckpointError where there are links in it.
        """
        if path is None:
            raise ConfigError(
                f"{setting} must be given: the folder of a trained run, or a checkpoint"
            )
        folder, step = Path(path), None
        if folder.parent.name == "checkpoints":
            folder, step = folder.parent.parent, folder
        if not (folder / "config.yaml").is_file():
            raise ConfigError(
                f"{setting}={path}: no run there; give the folder that holds config.yaml"
            )
        check_tree(folder)
        return cls(folder, step)

    def config(self, known: set[str]) -> dict[str, Any]:
        """The run's settings. Raises CheckpointError for code that is not known."""
        path = self.folder / "config.yaml"
        config = parsed(path)
        check_code(config, known, path)
        node = config.get("dataset", {})
        node |= {name: value for name, value in HARMLESS.items() if name in node}
        return config

    def checkpoint(self, warn: Any) -> Checkpoint:
        """The checkpoint asked for, otherwise the run's best, otherwise its last."""
        if self.step is not None:
            return checkpoint.load(self.step)
        last = checkpoint.latest(self.folder / "checkpoints", warn)
        if last is None:
            raise CheckpointError(f"{self.folder} has no checkpoint")
        best = last.state.get("saver", {}).get("best_step")
        if not isinstance(best, int):
            return last
        return checkpoint.load(checkpoint.at(self.folder / "checkpoints", best))


def parsed(path: Path) -> dict[str, Any]:
    """The config in a file. Raises CheckpointError for one that is none."""
    text = read_text(path)
    try:
        problem = exceeded_limit(text)
        config = {} if problem else yaml.load(text, LOADER)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}") from error
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a config")
    for group in GROUPS:
        if not isinstance(config.get(group, {}), dict):
            raise CheckpointError(f"{path}: {group} must be a mapping, got {config[group]!r:.80}")
    return config


def listed(runs: str | list[str]) -> list[str]:
    """What the setting `runs` holds, as a list."""
    return [runs] if isinstance(runs, str) else runs


def check_code(config: dict[str, Any], known: set[str], path: Path) -> None:
    """Raise CheckpointError for code that a config from a file names and that is not known."""
    for key, name in named_code(config):
        if not isinstance(name, str) or name not in known:
            raise CheckpointError(
                f"{path}: {key}={name!r:.200} is no code of this config tree; "
                "the same on the command line, or a YAML file in --config-dir, makes it known"
            )


def named_code(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every import path in nested containers, with its dotted name."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in CODE:
                yield f"{prefix}{key}", value
            yield from named_code(value, f"{prefix}{key}.")
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from named_code(value, f"{prefix}{i}.")


def known_code(run: Run) -> set[str]:
    """What the YAML files below the config folders name, and this run, and torch's optimizers.

    A run's own config is the command line's, or has been refused or found to name known code.
    """
    files = (path for source in run.sources for path in Path(source).rglob("*.yaml"))
    named = {name for path in files for name in NAMED.findall(path.read_text(errors="replace"))}
    named |= {name for _, name in named_code(run.config) if isinstance(name, str)}
    return named | {f"torch.optim.{name}" for name in torch.optim.__all__}
