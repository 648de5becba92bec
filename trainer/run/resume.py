"""Going on from a checkpoint that may be of another run, or of nobody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.config.flatten import flatten
from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage import checkpoint
from trainer.storage.saved_run import check_code, known_code
from trainer.training.fit import Fit

if TYPE_CHECKING:
    from trainer.run.run import Run

if TYPE_CHECKING:
    from trainer.run.run import Run
    from trainer.storage.checkpoint import Checkpoint
    from trainer.training.fit import Fit

UNFIT = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a state


def check(run: Run, held: Checkpoint) -> None:
    """Raise CheckpointError where it tells no step, or names code that is not known here."""
    progress, log = (held.state.get(name) for name in ("progress", "log"))
    if not (isinstance(progress, dict) and "step" in progress and isinstance(log, int)):
        raise CheckpointError(f"{held.path} does not fit this run: it tells no step")
    check_code(held.config, known_code(run), held.path / "config.json")


def take_back(fit: Fit, held: Checkpoint) -> None:
    """Go on from a checkpoint. Raises CheckpointError where it is not of such a run."""
    try:
        fit.load(held)
    except UNFIT as error:
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{held.path} does not fit this run: {type(error).__name__}: {reason}"
        ) from error


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


def resume(run: Run) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from, None to begin anew."""
    if run.config["resume"] is None:
        return None
    held = None
    if run.world.is_main:
        held = checkpoint.latest(run.folder.checkpoints, run.console.warn)
    held = run.world.broadcast(held)
    if held is not None:
        check(run, held)
        compare_configs(run, held.config)
    return held


def compare_configs(run: Run, before: dict[str, Any]) -> None:
    """Say what differs from the checkpoint's config; refuse what must not."""
    was, now = dict(flatten(before)), dict(flatten(run.config))
    differing = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    allowed = (*MAY_DIFFER, *run.config["resume_allow"])
    for key in differing:
        change = f"{key}: {was.get(key)} → {now.get(key)}"
        if not key.startswith(allowed):
            raise ConfigError(f"resume: {change} is not the run's; resume_allow=[{key}] allows it")
        if not key.startswith("resume"):
            run.console.say(f"changed since the checkpoint: {change}")
