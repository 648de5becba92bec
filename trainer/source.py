"""Runs read back: their config is data, never code of ours to follow blindly.

A run folder may come from anywhere. Its config is read as plain YAML, nothing in it is
interpolated, and it may name only the targets that the config tree and the command line in use name
themselves, and torch's optimizers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from trainer import checkpoint
from trainer.checkpoint import Checkpoint
from trainer.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from trainer.run import Run

TARGET = re.compile(r"^\s*_target_:\s*['\"]?([\w.]+)", re.MULTILINE)
LARGEST = 2**20  # bytes of a config


@dataclass(frozen=True)
class Source:
    """A run folder, or one checkpoint of it."""

    folder: Path
    step: Path | None  # the checkpoint asked for; None: the best one

    @classmethod
    def at(cls, path: str | None, setting: str = "run") -> Source:
        """The run at a path that a setting names. Raises ConfigError where there is none."""
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
        return cls(folder, step)

    def config(self, known: set[str]) -> dict[str, Any]:
        """The run's settings. Raises CheckpointError for a target that is not known."""
        path = self.folder / "config.yaml"
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"{path} is larger than a config can be")
        try:
            config = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read: {type(error).__name__}") from error
        if not isinstance(config, dict):
            raise CheckpointError(f"{path} is not a config")
        for key, target in targets(config):
            if target not in known:
                raise CheckpointError(
                    f"{path}: {key}={target!r} is no target of this config tree; "
                    "the same on the command line, or a YAML file in --config-dir, makes it one"
                )
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


def targets(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every `_target_` in nested containers, with its dotted name."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield f"{prefix}{key}", value
            yield from targets(value, f"{prefix}{key}.")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from targets(value, f"{prefix}{i}.")


def known_targets(run: Run) -> set[str]:
    """The targets that the YAML files below the config folders name, this run, torch's optimizers.

    A run's own config is the command line's, or has been refused or found to name known ones.
    """
    files = (path for source in run.sources for path in Path(source).rglob("*.yaml"))
    named = {target for path in files for target in TARGET.findall(path.read_text())}
    named |= {target for _, target in targets(run.config)}
    return named | {f"torch.optim.{name}" for name in torch.optim.__all__}


def restored(run: Run, reference: str | None, setting: str) -> Run:
    """The parts of a finished run as it was trained, with its weights, on our device.

    `reference` is what `setting` says: a run folder (its best checkpoint) or a checkpoint. Its
    `model` is in train mode and, where the data set is ours, its `data` is ours. Raises ConfigError
    where there is no run, CheckpointError where it cannot be read.
    """
    source = Source.at(reference, setting)
    config = run.config | source.config(known_targets(run))
    config |= {"device": run.config["device"], "compile": False}
    other = type(run)(config, run.folder, run.console, [], run.sources)
    if all(config.get(name) == run.config[name] for name in ("dataset", "task", "seed")):
        other.data = run.data
    other.restores = True
    other.model.load_state_dict(source.checkpoint(run.console.warn).model)
    return other
