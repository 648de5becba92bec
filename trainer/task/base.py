"""The task contract: from model outputs to per-example records, and from records to metrics."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from trainer.core.batch import Target
from trainer.dataset import Data


class Task(ABC):
    """Defines the outputs of a model, and their scores, records and metrics given the labels."""

    targets: ClassVar[tuple[Target, ...]]  # types of label it supports
    scores: ClassVar[tuple[str, ...]]  # scores a miner may rank by, besides the loss
    fields: ClassVar[tuple[str, ...]]  # records kept by the difficulty store, besides the loss
    tracked: ClassVar[dict[str, str]]  # training metric → the record it is the mean of
    ignore_index: int | None = None  # label of pixels left out of loss and metrics

    @abstractmethod
    def outputs(self, data: Data) -> int:
        """The number of outputs of the model's head."""

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of a model's outputs for one image, without the batch dimension."""
        return (self.outputs(data),)

    @abstractmethod
    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """Difficulty of each example [B] or pixel [B, H, W], by the score `name` of `scores`."""

    @abstractmethod
    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Per-example values [B] or [B, ...] by name, for `metrics` and the difficulty store."""

    def training_records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The records [B] needed in training: `fields` and those in `tracked`."""
        return self.records(outputs, labels)

    @abstractmethod
    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of a split from the records [N, ...] of all its examples."""

    @abstractmethod
    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the metrics of a few training examples show that the model memorised them."""
