"""Regression: outputs [B, D] or images [B, C, H, W], shaped like the targets."""

from typing import ClassVar

from torch import Tensor

from trainer.dataset import Data
from trainer.task.base import Task

LEARNED = 0.95  # r2 of a model that has memorised its examples


class Regression(Task):
    """A number, a vector or an image for each image.

    `mse`, `mae` and `rmse` are over all elements of all targets. `r2` is 1 − mse / variance of all
    elements, which for single numbers is the coefficient of determination; 0 without variance.
    """

    targets = ("vector", "image")
    scores = ("error",)
    fields = ("absolute_error",)
    tracked: ClassVar = {"mae": "absolute_error"}

    def outputs(self, data: Data) -> int:
        """The length of a target vector, or the channels of a target image."""
        return self.target_shape(data)[0]

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of a target, which outputs have too."""
        return self.target_shape(data)

    def target_shape(self, data: Data) -> tuple[int, ...]:
        """The shape of a target: [D], [1] for single numbers, or [C, H, W]."""
        return tuple(data.train.labels.shape[1:]) or (1,)

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """Difficulty of each example [B]: its mean absolute error, the only score."""
        return self.records(outputs, labels)["absolute_error"]

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Errors, target mean and target variance, each [B], over the elements of an example."""
        targets = labels.flatten(1)
        difference = outputs.flatten(1) - targets
        return {
            "absolute_error": difference.abs().mean(1),
            "squared_error": difference.square().mean(1),
            "target": targets.mean(1),
            "target_variance": targets.var(1, correction=0),
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Errors over all elements of a split, and r2."""
        names = ("absolute_error", "squared_error", "target_variance")
        mae, mse, within_target = (records[name].double().mean().item() for name in names)
        variance = within_target + records["target"].double().var(correction=0).item()
        r2 = 1 - mse / variance if variance > 0 else 0.0
        return {"mse": mse, "mae": mae, "rmse": mse**0.5, "r2": r2}

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether r2 is at least 0.95."""
        return metrics["r2"] >= LEARNED
