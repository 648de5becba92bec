"""Teachers: trained models that answer and do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.distill import library
from trainer.forward import Forward
from trainer.source import Source, known_code, restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.dataset import Data
    from trainer.run import Run

REFUSALS = (RuntimeError, AssertionError, ValueError)  # of a network, for a size of image


class Teacher:
    """A model in eval mode, without gradient, whose images are standardised as in its training.

    In train mode its BatchNorm would follow the student's images, gradient or not.
    """

    def __init__(self, forward: Forward, name: str, classes: tuple[str, ...] | None = None) -> None:
        forward.model.eval().requires_grad_(False)
        self.forward = forward
        self.about = f"distill.teacher={name}"
        self.classes = classes  # None where only their number is known
        self.scale: Tensor | None = None  # from the student's standardisation to its own
        self.shift = torch.zeros(())

    def bind(self, student: Forward, data: Data) -> None:
        """Take the student's standardisation.

        Raises ValueError where the teacher has other classes or does not take the images.
        """
        own, channels = self.forward, data.shape[0]
        if channels not in (1, len(own.mean)):  # a grey image is given as one of any channels
            raise ValueError(f"{self.about} takes {len(own.mean)} channels, not {channels}")
        if not (torch.equal(own.mean, student.mean) and torch.equal(own.std, student.std)):
            self.scale = student.std / own.std
            self.shift = (student.mean - own.mean) / own.std
        try:
            outputs = self(torch.zeros(1, *data.shape, device=own.device))
        except REFUSALS as error:
            raise ValueError(f"{self.about} takes no images of shape {data.shape}") from error
        number = outputs.shape[1]
        if number != len(data.classes):
            raise ValueError(f"{self.about} has {number} classes, the data {len(data.classes)}")
        names = zip(self.classes or data.classes, data.classes, strict=True)
        for c, (theirs, ours) in enumerate(names):
            if theirs != ours:
                raise ValueError(f"{self.about}: class {c} is {theirs}, in the data it is {ours}")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] as the student gets them to logits [B, classes, ...]."""
        if self.scale is not None:
            images = images * self.scale + self.shift
        return self.forward(images)


def find(run: Run, reference: str) -> Callable[[], Teacher]:
    """What loads the teacher that a reference names, for the device and precision of a run.

    Raises ConfigError or ValueError where there is no such run or library model.
    """
    if library.check(reference):
        return lambda: from_library(run, reference)
    source = Source.at(reference, "distill.teacher")
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
