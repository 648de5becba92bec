"""Teachers: trained models, evaluated but never updated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.forward import Forward
from trainer.distill.shared import library

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.storage.restored import Restore

Loader = Callable[["Forward", "Data"], "Teacher"]  # the student and its data → the teacher
REFUSALS = (RuntimeError, AssertionError, ValueError)  # raised by networks for a wrong image size


class Teacher:
    """A model in eval mode, without gradient, given images standardised as in its training.

    In train mode its BatchNorm statistics would drift towards the student's images.
    """

    def __init__(self, forward: Forward, name: str, classes: tuple[str, ...] | None = None) -> None:
        forward.model.eval().requires_grad_(False)
        self.forward = forward
        self.about = f"distill.teacher={name}"
        self.classes = classes  # None if only their number is known
        self.scale: Tensor | None = None  # converts the student's standardisation to its own
        self.shift = torch.zeros(())

    def bind(self, student: Forward, data: Data) -> None:
        """Adapt to the student's standardisation.

        Raises ValueError if the teacher has different classes or cannot process the images.
        """
        own, channels = self.forward, data.shape[0]
        if channels not in (1, len(own.mean)):  # a grey image is expanded to the model's channels
            raise ValueError(
                f"{self.about} expects {len(own.mean)} channels, the data has {channels}"
            )
        if not (torch.equal(own.mean, student.mean) and torch.equal(own.std, student.std)):
            self.scale = student.std / own.std
            self.shift = (student.mean - own.mean) / own.std
        try:
            outputs = self(torch.zeros(1, *data.shape, device=own.device))
        except REFUSALS as error:
            raise ValueError(f"{self.about} cannot process images of shape {data.shape}") from error
        number = outputs.shape[1]
        if number != len(data.classes):
            raise ValueError(f"{self.about} has {number} classes, the data has {len(data.classes)}")
        names = zip(self.classes or data.classes, data.classes, strict=True)
        for c, (theirs, ours) in enumerate(names):
            if theirs != ours:
                raise ValueError(f"{self.about}: class {c} is {theirs} but {ours} in the data")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits [B, classes, ...] of images [B, C, H, W] standardised for the student."""
        if self.scale is not None:
            images = images * self.scale + self.shift
        return self.forward(images)


def teacher_loader(reference: str, restore: Restore) -> Loader:
    """Return a function that loads the referenced teacher, in the student's precision.

    Raises ConfigError or ValueError if there is no such run or library network.
    """
    if library.check_reference(reference):
        return partial(from_library, reference)
    run = restore(reference, "distill.teacher")  # a wrong reference fails here, before data is read

    def load(student: Forward, _: Data) -> Teacher:
        return Teacher(student.of(run.model, run.mean, run.std), reference, run.classes)

    return load


def from_library(reference: str, student: Forward, data: Data) -> Teacher:
    """Load a library network as a teacher for the student's image shape and classes."""
    model, mean, std = library.load(reference, data.shape, len(data.classes))
    return Teacher(student.of(model.to(student.device), mean, std), reference)
