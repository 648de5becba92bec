"""What a task does: outputs to per-example records, records to metrics."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from trainer.core.batch import Target
from trainer.dataset import Data


class Task(ABC):
    """Meaning of outputs and labels."""

    targets: ClassVar[tuple[Target, ...]]  # kinds of label that it is for
    scores: ClassVar[tuple[str, ...]]  # what a miner may rank by, beside the loss
    fields: ClassVar[tuple[str, ...]]  # of records(): what the difficulty store keeps, and the loss
    tracked: ClassVar[dict[str, str]]  # training metric → the field that it is the mean of
    ignore_index: int | None = None  # the label of pixels that count nothing

    @abstractmethod
    def outputs(self, data: Data) -> int:
        """How many outputs the model's head has."""

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of what a model gives for one image."""
        return (self.outputs(data),)

    @abstractmethod
    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """How hard each example (or pixel) is by a mining score, [B] or [B, H, W]."""

    @abstractmethod
    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Per-example values [B] or [B, ...] by field."""

    def training_records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Those of them that training asks for: `fields`, and what `tracked` is the mean of."""
        return self.records(outputs, labels)

    @abstractmethod
    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a split from the records of all its examples [N]."""

    @abstractmethod
    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether a few examples with these metrics have been learned by heart."""
