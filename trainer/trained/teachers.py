"""The models that a student learns from: runs of this runner, or library models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from trainer.core.forward import Forward
from trainer.distill.shared import library
from trainer.storage.saved_run import SavedRun, known_code
from trainer.trained.restore import restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.run.run import Run
from trainer.distill.shared.teacher import Teacher


def find(run: Run, reference: str) -> Callable[[], Teacher]:
    """What loads the teacher that a reference names, for the device and precision of a run.

    Raises ConfigError or ValueError where there is no such run or library model.
    """
    if library.check(reference):
        return lambda: from_library(run, reference)
    source = SavedRun.at(reference, "distill.teacher")
    source.config(known_code(run))  # refused here, before data is opened
    return lambda: from_run(run, reference)


def from_run(run: Run, reference: str) -> Teacher:
    """The model of a finished run or of a checkpoint, by its own settings."""
    other = restored(run, reference, "distill.teacher")
    forward = forward_like(run, other.model, other.data.mean, other.data.std)
    return Teacher(forward, reference, other.data.classes)


def from_library(run: Run, reference: str) -> Teacher:
    """A network of a library."""
    model, mean, std = library.load(reference, run.data.shape, len(run.data.classes))
    return Teacher(forward_like(run, model.to(run.device), mean, std), reference)


def forward_like(
    run: Run, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Forward:
    """A model in the precision of a run, on its device."""
    names = ("precision", "channels_last")
    settings = {name: run.config[name] for name in names}
    return Forward(model, mean=mean, std=std, device=run.device, **settings)
