"""Resumes from a checkpoint, which is untrusted data and may be another run's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config.added import with_defaults
from trainer.config.flatten import flatten
from trainer.config.renamed import with_current_names
from trainer.core.errors import CheckpointError, ConfigError
from trainer.core.option import option_name
from trainer.core.text import count
from trainer.report.strict_json import finite
from trainer.run.settings import OF_A_COMMAND, as_resumed
from trainer.storage import checkpoint
from trainer.storage.saved_run import check_code, known_code, read_config
from trainer.training.checkpointer import MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.distributed.world import World
    from trainer.report.console import Console
    from trainer.run.job import Job
    from trainer.storage.checkpoint import Checkpoint
    from trainer.storage.run_folder import RunFolder
    from trainer.training.data_check import DataCheck
    from trainer.training.fit import Fit

MAY_DIFFER = (
    "compare",
    "epochs",
    "steps",
    "log.",
    "checkpoint.",
    "dataset.cache",
    "loader.",
    "metrics",
    "quiet",
    "debug",
    "resume",
    "run",
    "source",
    "strategy",
)


NO_RESULT = (  # settings on which no result depends
    "log.",
    "checkpoint.every",
    "checkpoint.keep",
    "dataset.cache",
    "loader.",
    "metrics",
    "quiet",
    "debug",
    "resume",
    "strategy",
)


def is_complete(folder: RunFolder, config: dict[str, Any], job: Job) -> bool:
    """Whether a folder's run is finished and these settings ask for no more of it.

    Raises ConfigError where the folder has a run of another job, or a finished one with other
    settings.
    """
    path = folder.path / "config.yaml"
    if not folder.status or folder.is_reusable or not os.path.lexists(path):
        return False
    before = with_current_names(read_config(path))
    if before["job"].get("_target_") != config["job"]["_target_"]:
        own, other = (option_name(c["job"].get("_target_")) for c in (config, before))
        raise ConfigError(
            f"{folder.path} contains a run of job={other}; job={own} needs a folder of its own: "
            "hydra.run.dir=..."
        )
    if folder.status.get("state") != "finished":
        return False
    changed = changes(before, config, (*NO_RESULT, *job.extended_by))
    return not any(key in job.extended_by for key in changed)


def checkpoint_to_resume(
    folder: Path, config: dict[str, Any], known_code: set[str], console: Console, world: World
) -> Checkpoint | None:
    """The checkpoint that `resume` names, else the latest of a folder; None where there is none.

    Raises CheckpointError for one that is damaged or names unknown code, and ConfigError where its
    config differs from `config` in more than it may.
    """
    found = None
    if world.is_main:
        step = Path(config["resume"])
        named = step.parent.name == folder.name
        found = checkpoint.load(step) if named else checkpoint.latest(folder, console.warn)
    found = world.broadcast(found)
    if found is not None:
        check_progress(found)
        before = with_current_names(found.config)
        check_code(before, known_code, found.path / "config.json")
        for key, change in changes(before, config, MAY_DIFFER).items():
            if not key.startswith(OF_A_COMMAND):
                console.say(f"changed since the checkpoint: {change}")
    return found


def with_saved_settings(
    config: dict[str, Any], folder: Path, overrides: Sequence[str], sources: Sequence[str]
) -> dict[str, Any]:
    """The settings of the run in a folder, overridden by this command line.

    Raises CheckpointError if they name unknown code.
    """
    path = folder / "config.yaml"
    if not os.path.lexists(path):
        return config
    saved = with_current_names(read_config(path))
    check_code(saved, known_code(sources, config), path)
    return as_resumed(config, saved, overrides)


def check_progress(found: Checkpoint) -> None:
    """Raise CheckpointError for a checkpoint that records no step."""
    progress, log = (found.state.get(name) for name in ("progress", "log"))
    known = progress if isinstance(progress, dict) else {}
    if not all(isinstance(n, int) for n in (known.get("epoch"), known.get("step"), log)):
        raise CheckpointError(f"{found.path} does not fit this run: it records no step")


def changes(
    before: dict[str, Any], config: dict[str, Any], may_differ: Sequence[str]
) -> dict[str, str]:
    """The settings that differ from the run's so far: what to say of each, by its name.

    Raises ConfigError for one that begins with neither an entry of `may_differ` nor of
    `resume_allow`.
    """
    was = dict(flatten(finite(with_defaults(before, config))))
    now = dict(flatten(finite(config)))
    found = {
        key: f"{key}: {was.get(key)} → {now.get(key)}"
        for key in {**was, **now}
        if was.get(key) != now.get(key)
    }
    allowed = (*may_differ, *config["resume_allow"])
    for key, change in found.items():
        if not key.startswith(allowed):
            raise ConfigError(
                f"resume: {change} differs from the run's; resume_allow=[{key}] allows it"
            )
    return found


def check_end(found: Checkpoint, epochs: int, steps: int | None) -> None:
    """Raise ConfigError where a run is to be shorter than its checkpoint already is."""
    epoch, step = (found.state["progress"][name] for name in ("epoch", "step"))
    if epoch > epochs or (steps is not None and step > steps):
        asked = f"epochs={epochs}" if steps is None else f"steps={steps}"
        raise ConfigError(
            f"{asked} is less than {found.path} has trained: {count(epoch, 'epoch')}, "
            f"{count(step, 'step')}; ask for more, or start again in another folder with "
            "hydra.run.dir=..."
        )


def check_data(found: Checkpoint, data_check: DataCheck) -> None:
    """Raise ConfigError where the data set is not the checkpoint's."""
    if "data" in found.state:  # older checkpoints lack it
        try:
            data_check.load_state_dict(found.state["data"])
        except ValueError as error:
            raise CheckpointError(f"{found.path} does not fit this run: data: {error}") from error


def restore(fit: Fit, found: Checkpoint) -> None:
    """Load a checkpoint. Raises CheckpointError where it does not fit the run."""
    try:
        fit.load({**found.state, MODEL: found.model})
    except CheckpointError as error:
        raise CheckpointError(f"{found.path} does not fit this run: {error}") from error
