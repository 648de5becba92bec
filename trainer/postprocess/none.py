"""No postprocessing, the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainer.core.batch import TARGETS
from trainer.postprocess.base import Postprocess

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.training.evaluate import Evaluation, Evaluator


class NoPostprocess(Postprocess):
    """Leaves the outputs unchanged."""

    targets = TARGETS
    needs_val = False

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Do nothing: there is nothing to fit."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the outputs [N, ...] unchanged."""
        return outputs

    def learn(self, class_counts: Tensor, val: Evaluation | None) -> None:
        """Do nothing: there is nothing to fit."""

    def results(self, name: str, plain: Evaluation, evaluator: Evaluator) -> dict[str, Evaluation]:
        """Return the plain evaluation only."""
        return {name: plain}

    def save(self, folder: Path, settings: dict[str, Any], origin: str) -> None:
        """Do nothing: there is nothing to save."""

    def load(self, folder: Path, settings: dict[str, Any], origin: str) -> bool:
        """Return True, as if fitted: there is nothing to fit."""
        return True
