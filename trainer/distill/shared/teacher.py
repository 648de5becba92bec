"""Teachers: trained models that answer and do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.forward import Forward

if TYPE_CHECKING:
    from trainer.dataset import Data

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
