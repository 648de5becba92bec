"""Soft targets (Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531), section 2.

(1 − α)·L + α·T²·KL(softmax(teacher/T) ‖ softmax(student/T)). The factor T² keeps the gradient's
magnitude independent of T.
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
    """Blends the loss with the KL divergence from a teacher, or from the mean of several.

    `teacher` is a run folder, a checkpoint, `torchvision:<name>`, `timm:<name>`, or a list of
    those, whose probabilities at the temperature are averaged. `mode` sum is L + T²·KL, without α.
    Class weights apply to the loss alone; the reduction divides both terms by their sum. `restore`
    loads a finished run. Raises ValueError if a setting is out of range.
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
            raise ValueError("distill.teacher must be given: a finished run, or torchvision:<name>")
        self.temperature = temperature
        self.alpha = alpha
        self.mode = mode
        references = [teacher] if isinstance(teacher, str) else teacher
        self.loaders = [teacher_loader(reference, restore) for reference in references]
        self.teachers: list[Teacher] = []

    def prepare(self, student: Forward, data: Data) -> None:
        """Load the teachers. Raises ValueError if one does not fit the student's data."""
        if data.target not in ("class", "mask"):
            raise ValueError(
                f"distill=soft_target does not support {data.target} labels; take distill=none"
            )
        self.teachers = [load(student, data) for load in self.loaders]
        for teacher in self.teachers:
            teacher.bind(student, data)

    def __call__(self, images: Tensor, outputs: Tensor, losses: Tensor) -> Tensor:
        """Blend losses [B] or [B, H, W]; images are [B, C, H, W], outputs [B, classes, ...]."""
        log_p = (outputs / self.temperature).log_softmax(1)
        kl = F.kl_div(log_p, self.targets(images), reduction="none", log_target=True).sum(1)
        kl = self.temperature**2 * kl
        if kl.ndim > losses.ndim:  # a mask with one loss per image: take the mean over pixels
            kl = kl.flatten(1).mean(1)
        if self.mode == "sum":
            return losses + kl
        return (1 - self.alpha) * losses + self.alpha * kl

    def targets(self, images: Tensor) -> Tensor:
        """The log of the teachers' mean softened probabilities, [B, classes, ...]."""
        log_q = [(teacher(images) / self.temperature).log_softmax(1) for teacher in self.teachers]
        return log_q[0] if len(log_q) == 1 else log_mean(log_q)
