"""Regression: numbers for each image, or an image for each image; outputs shaped as the targets."""

from typing import ClassVar

from torch import Tensor

from trainer.dataset import Data
from trainer.task.base import Task

LEARNED = 0.95  # r2


class Regression(Task):
    """`mse`, `mae` and `rmse` are over all elements of all targets.

    `r2` is 1 − mse / the variance of all elements: for targets of one number the coefficient of
    determination.
    """

    targets = ("vector", "image")
    scores = ("error",)
    fields = ("absolute_error",)
    tracked: ClassVar = {"mae": "absolute_error"}

    def outputs(self, data: Data) -> int:
        """Numbers of a target, or channels of an image."""
        return self.target(data)[0]

    def shape(self, data: Data) -> tuple[int, ...]:
        """That of a target."""
        return self.target(data)

    def target(self, data: Data) -> tuple[int, ...]:
        """The shape of a target: [D], [1] where it is one number, or [C, H, W]."""
        return tuple(data.train.labels.shape[1:]) or (1,)

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """How hard each example is, [B]: the mean absolute error."""
        return self.records(outputs, labels)["absolute_error"]

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Means over the elements of each target, [B], and the targets' mean and variance."""
        targets = labels.flatten(1)
        difference = outputs.flatten(1) - targets
        return {
            "absolute_error": difference.abs().mean(1),
            "squared_error": difference.square().mean(1),
            "target": targets.mean(1),
            "target_variance": targets.var(1, correction=0),
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Errors over a split."""
        names = ("absolute_error", "squared_error", "target_variance")
        mae, mse, within = (records[name].double().mean().item() for name in names)
        variance = within + records["target"].double().var(correction=0).item()
        r2 = 1 - mse / variance if variance > 0 else 0.0
        return {"mse": mse, "mae": mae, "rmse": mse**0.5, "r2": r2}

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the outputs explain nearly all of the targets."""
        return metrics["r2"] >= LEARNED
