"""Soft targets (Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531), section 2.

(1 − α)·L + α·T²·KL(softmax(teacher/T) ‖ softmax(student/T)): T² keeps the size of the gradient as T
changes.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.core.forward import Forward
from trainer.core.probability import log_mean
from trainer.core.ranges import within
from trainer.dataset import Data
from trainer.distill.base import Distiller
from trainer.distill.shared.teacher import Teacher, teacher_loader
from trainer.storage.restored import Restore


class SoftTarget(Distiller):
    """A blend of the loss and the distance from a teacher, or from the mean of several.

    `teacher` is a run folder or a checkpoint, `torchvision:<name>` or `timm:<name>`, or a list of
    such. Of several the probabilities at the temperature are averaged. `mode` sum is L + T²·KL,
    without α. Class weights are on the loss alone; the sum of both is over the sum of the weights.
    `restore` loads a finished run.
    """

    def __init__(
        self,
        restore: Restore,
        *,
        teacher: str | list[str] | None = None,
        temperature: float = 4.0,
        alpha: float = 0.9,
        mode: Literal["blend", "sum"] = "blend",
    ) -> None:
        within("distill.temperature", temperature, "(0, inf)")
        within("distill.alpha", alpha, "[0, 1]")
        if not teacher:
            raise ValueError("distill.teacher must be given: a trained run, or torchvision:<name>")
        self.temperature = temperature
        self.alpha = alpha
        self.mode = mode
        references = [teacher] if isinstance(teacher, str) else teacher
        self.loaders = [teacher_loader(reference, restore) for reference in references]
        self.teachers: list[Teacher] = []

    def prepare(self, student: Forward, data: Data) -> None:
        """Load the teachers. Raises ValueError where one does not fit the student's data."""
        if not data.classes:
            raise ValueError("distill=soft_target needs class labels, this task has none")
        self.teachers = [load(student, data) for load in self.loaders]
        for teacher in self.teachers:
            teacher.bind(student, data)

    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] or [B, H, W] to blended ones."""
        log_p = (outputs / self.temperature).log_softmax(1)
        distance = F.kl_div(log_p, self.targets(images), reduction="none", log_target=True).sum(1)
        distance = self.temperature**2 * distance
        if distance.ndim > losses.ndim:  # of a mask whose loss is one number: the pixels' mean
            distance = distance.flatten(1).mean(1)
        if self.mode == "sum":
            return losses + distance
        return (1 - self.alpha) * losses + self.alpha * distance

    def targets(self, images: Tensor) -> Tensor:
        """Log of the teachers' mean softened probability, [B, C, ...]."""
        log_q = [(teach(images) / self.temperature).log_softmax(1) for teach in self.teachers]
        return log_q[0] if len(log_q) == 1 else log_mean(log_q)
