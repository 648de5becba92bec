"""The components of a finished run, with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from trainer.core.errors import CheckpointError
from trainer.storage.checkpoint import Checkpoint

if TYPE_CHECKING:
    from trainer.run.run import Run
from trainer.storage.saved_run import HARMLESS, SavedRun, known_code


def restored(run: Run, reference: str | None, setting: str) -> Run:
    """The parts of a finished run as it was trained, with its weights, on our device.

    `reference` is what `setting` says: a run folder (its best checkpoint) or a checkpoint. Its
    `model` is in train mode and, where the data set is ours, its `data` is ours. Raises ConfigError
    where there is no run, CheckpointError where it cannot be read.
    """
    source = SavedRun.at(reference, setting)
    config = run.config | source.config(known_code(run))
    config |= {"device": run.config["device"], "compile": False}
    other = type(run)(config, run.folder, run.console, [], run.sources)
    ours = run.config["dataset"]
    theirs = config | {"dataset": config["dataset"] | {k: ours[k] for k in HARMLESS if k in ours}}
    if all(theirs.get(name) == run.config[name] for name in ("dataset", "task", "seed")):
        other.data = run.data
    other.restores = True
    load_weights(other.model, source.checkpoint(run.console.warn))
    return other


def load_weights(model: nn.Module, held: Checkpoint) -> None:
    """Take a checkpoint's weights. Raises CheckpointError, in one line, where they do not fit."""
    try:
        model.load_state_dict(held.model)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise CheckpointError(f"{held.path} does not fit the model: {reason}") from error
