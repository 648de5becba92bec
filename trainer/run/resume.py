"""Resumes from a checkpoint, which is untrusted data and may be another run's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.config.flatten import flatten
from trainer.config.renamed import with_current_names
from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage import checkpoint
from trainer.storage.saved_run import check_code
from trainer.training.checkpointer import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.distributed.world import World
    from trainer.report.console import Console
    from trainer.storage.checkpoint import Checkpoint
    from trainer.training.fit import Fit

MAY_DIFFER = (
    "compare",
    "epochs",
    "steps",
    "log.",
    "checkpoint.",
    "dataset.cache",
    "loader.",
    "quiet",
    "debug",
    "resume",
    "run",
    "strategy",
)


def checkpoint_to_resume(
    folder: Path, config: dict[str, Any], known_code: set[str], console: Console, world: World
) -> Checkpoint | None:
    """The latest checkpoint of a folder, None where there is none.

    Raises CheckpointError for one that is damaged or names unknown code, and ConfigError where its
    config differs from `config` in more than it may.
    """
    found = checkpoint.latest(folder, console.warn) if world.is_main else None
    found = world.broadcast(found)
    if found is not None:
        check_progress(found)
        before = with_current_names(found.config)
        check_code(before, known_code, found.path / "config.json")
        compare_configs(before, config, console)
    return found


def check_progress(found: Checkpoint) -> None:
    """Raise CheckpointError for a checkpoint that records no step."""
    progress, log = (found.state.get(name) for name in ("progress", "log"))
    if not (isinstance(progress, dict) and "step" in progress and isinstance(log, int)):
        raise CheckpointError(f"{found.path} does not fit this run: it records no step")


def compare_configs(before: dict[str, Any], config: dict[str, Any], console: Console) -> None:
    """Report what differs from the checkpoint's config; refuse what must not differ."""
    was, now = dict(flatten(before)), dict(flatten(config))
    differing = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    allowed = (*MAY_DIFFER, *config["resume_allow"])
    for key in differing:
        change = f"{key}: {was.get(key)} → {now.get(key)}"
        if not key.startswith(allowed):
            raise ConfigError(
                f"resume: {change} differs from the run's; resume_allow=[{key}] allows it"
            )
        if not key.startswith("resume"):
            console.say(f"changed since the checkpoint: {change}")


def restore(fit: Fit, found: Checkpoint) -> None:
    """Load a checkpoint. Raises CheckpointError where it does not fit the run."""
    try:
        fit.load({**found.state, MODEL: found.model})
    except CheckpointError as error:
        raise CheckpointError(f"{found.path} does not fit this run: {error}") from error
