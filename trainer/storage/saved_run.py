"""Saved runs, whose config is untrusted data.

A run folder may come from anywhere. Its config is read as plain YAML without interpolation. The
only code it may name is code that the config folders or the command line in use also name, and
torch's optimizers. It cannot cause a download.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.config.build import CODE
from trainer.config.compose import CONF
from trainer.config.import_path import named_code
from trainer.config.renamed import with_current_names
from trainer.config.run_names import not_found
from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage import checkpoint
from trainer.storage.checkpoint import Checkpoint
from trainer.storage.config_file import read_config
from trainer.storage.trained_on import TrainedOn
from trainer.storage.untrusted import check_tree, has_file

CONFIG = "config.yaml"  # in the run folder
HARMLESS = {"download": False, "cache": "auto"}  # replace a saved config's own, which could write
NAMED = re.compile(rf"^[^#\n]*?\b(?:{'|'.join(CODE)}):\s*['\"]?([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class SavedRun:
    """A run folder, or one checkpoint of it."""

    folder: Path
    step: Path | None  # folder of the requested checkpoint; None: the best one

    @classmethod
    def at(cls, path: str | None, setting: str = "run") -> SavedRun:
        """Find the run at a path, the value of `setting`: a run folder or one of its checkpoints.

        A checkpoint that was copied out of its run is one, too: it has the settings and data.json.

        Raises ConfigError if there is no run, CheckpointError if the folder contains a link,
        DiskError where it cannot be read.
        """
        if path is None:
            raise ConfigError(
                f"{setting} must be given: the folder of a trained run, or a checkpoint of it"
            )
        folder, step = Path(path), None
        if folder.parent.name == "checkpoints":
            folder, step = folder.parent.parent, folder
        if not has_file(folder, CONFIG) and has_file(Path(path), checkpoint.CONFIG):
            folder = step = Path(path)
        elif not has_file(folder, CONFIG):
            raise ConfigError(not_found(setting, path, "give the folder that contains config.yaml"))
        check_tree(folder)
        return cls(folder, step)

    @property
    def config_path(self) -> Path:
        """The file with the run's settings."""
        alone = self.folder == self.step
        return self.folder / (checkpoint.CONFIG if alone else CONFIG)

    def config(self, known: set[str]) -> dict[str, Any]:
        """Read the run's settings. Raises CheckpointError if they name code not in `known`."""
        path = self.config_path
        config = with_current_names(read_config(path))
        check_code(config, known, path)
        if type(seed := config.get("seed", 0)) is not int:
            raise CheckpointError(f"{path}: seed must be an integer, got {seed!r:.80}")
        node = config.get("dataset", {})
        node |= {name: value for name, value in HARMLESS.items() if name in node}
        return config

    def nodes(self, known: set[str], *groups: str) -> dict[str, dict[str, Any]]:
        """The run's settings of some groups. Raises CheckpointError for code not in `known`.

        What the others name is not looked at: nothing of it is used.
        """
        path = self.config_path
        config = read_config(path)
        nodes = {group: with_current_names(config.get(group, {})) for group in groups}
        check_code(nodes, known, path)
        return nodes

    @property
    def text_column(self) -> str:
        """The column of a table in which the run's data set had its texts; `text` by default."""
        node = read_config(self.config_path).get("dataset", {})
        name = node.get("text_column") if isinstance(node, dict) else None
        return name if isinstance(name, str) else "text"

    def trained_on(self) -> TrainedOn | None:
        """What the run was trained on; None for a run of a version that did not record it.

        A checkpoint's copy is read where the run folder's is missing or cannot be read.
        """
        try:
            found = TrainedOn.read(self.folder)
        except CheckpointError:
            found = self.copied()
            if found is None:
                raise
        return found or self.copied()

    def copied(self) -> TrainedOn | None:
        """The same, from the requested checkpoint or else the newest that has it."""
        folder = self.folder / "checkpoints"
        every = (checkpoint.step_folder(folder, step) for step in checkpoint.steps(folder))
        for path in every if self.step is None else (self.step,):
            if (path / checkpoint.DATA).is_file():
                checkpoint.verify(path)
                return TrainedOn.read(path, self.folder)
        return None

    def checkpoint(self, warn: Callable[[str], None]) -> Checkpoint:
        """Load the requested checkpoint: by default the best, or the last if none is marked best.

        Raises CheckpointError if none can be read.
        """
        if self.step is not None:
            return checkpoint.load(self.step)
        last = checkpoint.latest(self.folder / "checkpoints", warn)
        if last is None:
            raise CheckpointError(f"{self.folder} has no checkpoint; give a run that has trained")
        saver = last.state.get("saver", {})
        if not isinstance(saver, dict):
            raise CheckpointError(f"{last.path} does not fit a run: saver is {saver!r:.80}")
        best = saver.get("best_step")
        if not isinstance(best, int):
            return last
        return checkpoint.load(checkpoint.step_folder(self.folder / "checkpoints", best))


def as_list(runs: str | list[str]) -> list[str]:
    """Return the value of the setting `runs`, one path or several, as a list."""
    return [runs] if isinstance(runs, str) else runs


def check_code(config: dict[str, Any], known: set[str], path: Path) -> None:
    """Raise CheckpointError if the config in the file `path` names code that is not `known`."""
    for key, name in named_code(config):
        if not isinstance(name, str) or name not in known:
            raise CheckpointError(
                f"{path}: {key}={name!r:.200} is not code that this config tree names; to trust "
                "it, set it on the command line or in a YAML file of --config-dir"
            )


def known_code(folders: Iterable[str], config: Mapping[str, Any]) -> set[str]:
    """Return the import paths that YAML files in `folders` or `config` name, and torch.optim's.

    `config` must be that of the command line, or already checked to name known code only.
    """
    files = (path for folder in folders for path in config_files(Path(folder)))
    named = {
        name
        for path in files
        for name in NAMED.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    named |= {name for _, name in named_code(config) if isinstance(name, str)}
    return named | {f"torch.optim.{name}" for name in torch.optim.__all__}


def config_files(folder: Path) -> Iterator[Path]:
    """The YAML files of a config folder and of its groups, which are named as in `conf/`.

    Folders that merely lie there are no groups, least of all runs: those may come from anywhere.
    """
    groups = [path.relative_to(CONF) for path in CONF.rglob("*/")]
    for place in (folder, *(folder / group for group in groups), *folder.glob("hydra/*/")):
        if not any(map(is_run, (place, *place.absolute().parents))):
            yield from (path for path in sorted(place.glob("*.yaml")) if path.is_file())


def is_run(folder: Path) -> bool:
    """Whether a folder contains a run."""
    return os.path.lexists(folder / "status.json")
