"""Going on from a checkpoint that may be of another run, or of nobody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.errors import CheckpointError
from trainer.source import check_code, known_code

if TYPE_CHECKING:
    from trainer.checkpoint import Checkpoint
    from trainer.fit import Fit
    from trainer.run import Run

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
