"""Teachers: trained models with frozen weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.batch import blank
from trainer.core.forward import Forward
from trainer.core.text import count
from trainer.distill.shared import library
from trainer.distill.shared.word_ids import Translation
from trainer.storage.trained_on import places_of, shown, times

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.storage.restored import Restore

Loader = Callable[["Forward", "Data"], "Teacher"]  # the student and its data → the teacher
REFUSALS = (RuntimeError, AssertionError, ValueError)  # raised by networks for a wrong image size


class Teacher:
    """A model in eval mode, without gradients, on images standardised as in its training.

    In train mode its batch norm statistics would drift towards the student's images.
    """

    def __init__(
        self,
        forward: Forward,
        name: str,
        classes: tuple[str, ...] | None = None,
        size: tuple[int, ...] | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> None:
        forward.model.eval().requires_grad_(False)
        self.forward = forward
        self.about = f"distill.teacher={name}"
        self.classes = classes  # names; None if only their number is known
        self.size = size  # height and width of its training images; None accepts any
        self.vocabulary = vocabulary  # of its texts
        self.translate: Translation | None = None  # of the student's word ids
        self.order: Tensor | None = None  # its output of each of the student's classes [C]
        self.scale: Tensor | None = None  # converts the student's standardisation to its own
        self.shift = torch.zeros(())

    def bind(self, student: Forward, data: Data) -> None:
        """Adapt to the student's standardisation and order of classes.

        Raises ValueError if the teacher has different classes or cannot process the images.
        """
        own = self.forward
        if data.kind == "text":
            self.bind_texts(data)
        else:
            self.bind_images(student, data)
        try:
            outputs = self(blank(data.shape, own.device))
        except REFUSALS as error:
            raise ValueError(f"{self.about} cannot process images of shape {data.shape}") from error
        number = outputs.shape[1]
        if number != len(data.classes):
            has = count(number, "class", plural="classes")
            raise ValueError(f"{self.about} has {has}, the data has {len(data.classes)}")
        ours, theirs = data.classes, self.classes or data.classes
        if set(theirs) != set(ours):
            raise ValueError(
                f"{self.about} has the classes {shown(theirs, ours)}, the data has "
                f"{shown(ours, theirs)}"
            )
        if theirs != ours:
            self.order = places_of(ours, theirs).to(own.device)

    def bind_images(self, student: Forward, data: Data) -> None:
        """Adapt to the student's standardisation. Raises ValueError for images it cannot take."""
        own, channels = self.forward, data.shape[0]
        if not own.pixels:
            raise ValueError(f"{self.about} was trained on texts, the data are images")
        if channels not in (1, len(own.mean)):  # a grey image is expanded to the model's channels
            raise ValueError(
                f"{self.about} expects {count(len(own.mean), 'channel')}, the data has {channels}"
            )
        if self.size is not None and self.size != data.shape[1:]:
            raise ValueError(
                f"{self.about} was trained on images of {times(self.size)}, the data has "
                f"{times(data.shape[1:])}; train both on images of one size"
            )
        if not (torch.equal(own.mean, student.mean) and torch.equal(own.std, student.std)):
            self.scale = student.std / own.std
            self.shift = (student.mean - own.mean) / own.std

    def bind_texts(self, data: Data) -> None:
        """Adapt to the student's word ids. Raises ValueError for a teacher of images."""
        if self.size is None or self.forward.pixels:
            raise ValueError(f"{self.about} was trained on images, the data are texts")
        (length,) = self.size
        if (self.vocabulary, self.size) != (data.vocabulary, data.shape):
            device = self.forward.device
            self.translate = Translation(data.vocabulary, self.vocabulary, length, device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits [B, classes, ...] of images [B, C, H, W] standardised for the student."""
        if self.scale is not None:
            images = images * self.scale + self.shift
        if self.translate is not None:
            images = self.translate(images)
        outputs = self.forward(images)
        return outputs if self.order is None else outputs[:, self.order]


def teacher_loader(reference: str, restore: Restore) -> Loader:
    """A function that loads the referenced teacher, in the student's precision.

    Raises ConfigError or ValueError if there is no such run or library network.
    """
    if library.check_reference(reference):
        return partial(from_library, reference)
    run = restore(reference, "distill.teacher")  # a bad reference fails before the data is read

    def load(student: Forward, _: Data) -> Teacher:
        forward = student.of(run.model, run.mean, run.std)
        size = run.shape[1:] if forward.pixels else run.shape
        return Teacher(forward, reference, run.classes, size, run.vocabulary)

    return load


def from_library(reference: str, student: Forward, data: Data) -> Teacher:
    """Load a library network as a teacher for the student's image shape and classes."""
    if data.kind == "text":
        raise ValueError(f"distill.teacher={reference} is for images, the data are texts")
    model, mean, std = library.load(reference, data.shape, len(data.classes))
    return Teacher(student.of(model.to(student.device), mean, std), reference)
