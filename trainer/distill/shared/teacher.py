"""Teachers: trained models that are evaluated and never change."""

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

Loader = Callable[["Forward", "Data"], "Teacher"]  # the student and its data → its teacher
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
        """Adapt to the student's standardisation.

        Raises ValueError where the teacher has other classes or cannot process the images.
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


def teacher_loader(reference: str, restore: Restore) -> Loader:
    """What loads the teacher that a reference names, in the student's precision.

    Raises ConfigError or ValueError where there is no such run or library model.
    """
    if library.check(reference):
        return partial(from_library, reference)
    run = restore(reference, "distill.teacher")  # refused here, before any data is read

    def load(student: Forward, _: Data) -> Teacher:
        return Teacher(student.of(run.model, run.mean, run.std), reference, run.classes)

    return load


def from_library(reference: str, student: Forward, data: Data) -> Teacher:
    """A network of a library."""
    model, mean, std = library.load(reference, data.shape, len(data.classes))
    return Teacher(student.of(model.to(student.device), mean, std), reference)
