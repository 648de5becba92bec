"""Cross entropy; label smoothing of Szegedy et al. 2016 (https://arxiv.org/abs/1512.00567), sec. 7.

Class weights: a list; `balanced`, N / (C n_c); or `effective_number`, (1 − β) / (1 − β^n_c)
scaled to a mean of 1 (Cui et al. 2019, https://arxiv.org/abs/1901.05555, eq. 2).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.core.text import count
from trainer.loss.base import Loss

COMPUTED = ("balanced", "effective_number")  # class weights that `prepare` computes


class CrossEntropy(Loss):
    """−log softmax, with optional class weights and label smoothing (1 − ε)·onehot + ε / C."""

    targets: ClassVar[tuple[str, ...]] = ("class", "mask", "boxes")
    weights: Tensor | None

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | Literal["balanced", "effective_number"] | None = None,
        label_smoothing: float = 0.0,
        beta: float = 0.999,
    ) -> None:
        super().__init__()
        within("loss.label_smoothing", label_smoothing, "[0, 1]")
        within("loss.beta", beta, "[0, 1)")
        weights = None
        if isinstance(class_weights, str) and class_weights not in COMPUTED:
            raise ValueError(
                f"loss.class_weights must be {' or '.join(COMPUTED)}, or a number for each class, "
                f"got {class_weights}"
            )
        if class_weights is not None and not isinstance(class_weights, str):
            within("loss.class_weights", class_weights, "[0, inf)")
            weights = torch.tensor(class_weights, dtype=torch.float32)
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.beta = beta
        self.register_buffer("weights", weights, persistent=False)

    def prepare(self, class_counts: Tensor) -> None:
        """Compute the class weights from the counts [C]. Raises ValueError for a list not of C."""
        if self.class_weights is None:
            return
        counts = class_counts.double().clamp(min=1)
        if self.class_weights == "balanced":
            weights = class_counts.sum() / (len(counts) * counts)
        elif self.class_weights == "effective_number":
            weights = (1 - self.beta) / (1 - self.beta**counts)
            weights = weights / weights.mean()
        else:
            weights = torch.tensor(self.class_weights)
        if len(weights) != len(counts):
            raise ValueError(
                f"loss.class_weights has {count(len(weights), 'value')} for {len(counts)} classes"
            )
        self.weights = weights.float()

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, C], [B] → [B], torch's unreduced loss. Raises RuntimeError before `prepare`."""
        weights = self.weights
        if weights is not None:
            weights = weights.to(outputs.dtype)
        elif self.class_weights is not None:
            raise self.unprepared("class weights")
        return F.cross_entropy(
            outputs,
            labels,
            weights,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )

    @property
    def uniform(self) -> bool:
        """True if every label counts 1: there are no class weights."""
        own = type(self).count is CrossEntropy.count
        return own and self.weights is None and not self.ignores

    def count(self, labels: Tensor) -> Tensor:
        """The class weight of each label [B, ...], as in torch's weighted mean.

        Raises RuntimeError before `prepare`.
        """
        if self.weights is not None:
            return self.weights[labels]
        if self.class_weights is not None:
            raise self.unprepared("class weights")
        return super().count(labels)
