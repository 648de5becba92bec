"""No postprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainer.postprocess.base import Postprocess

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.training.evaluate import Evaluation, Evaluator


class NoPostprocess(Postprocess):
    """Outputs stay as the model gives them."""

    targets = ("class", "mask", "vector", "image")
    needs_val = False

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Nothing is fitted."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def learn(self, data: Data, val: Evaluation | None) -> None:
        """Nothing is fitted."""

    def results(self, name: str, plain: Evaluation, evaluator: Evaluator) -> dict[str, Evaluation]:
        """The evaluation as it is."""
        return {name: plain}

    def save(self, folder: Path, settings: Any, of: str) -> None:
        """Nothing is kept."""

    def load(self, folder: Path, settings: Any, of: str) -> bool:
        """There is never anything to fit."""
        return True
