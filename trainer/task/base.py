"""What a task does: outputs to per-example records, records to metrics."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from trainer.dataset import Data


class Task(ABC):
    """Meaning of outputs and labels."""

    fields: ClassVar[
        tuple[str, ...]
    ]  # what of records() the difficulty store keeps, beside the loss
    tracked: ClassVar[
        dict[str, str]
    ]  # training metric → the field of records() that it is the mean of

    @abstractmethod
    def outputs(self, data: Data) -> int:
        """How many outputs the model's head has."""

    @abstractmethod
    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """How hard each example is by a mining score, [B], higher for harder."""

    @abstractmethod
    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Per-example values [B] by field."""

    @abstractmethod
    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a split from the records of all its examples [N]."""
