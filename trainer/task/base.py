"""The task contract: from model outputs to per-example records, and from records to metrics."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from trainer.core.batch import Target
from trainer.dataset import Data


@dataclass(frozen=True)
class Report:
    """What is said of a split at the end of a run, beside its metrics."""

    metrics: dict[str, float] = field(default_factory=dict)  # of the whole split
    classes: dict[str, dict[str, float | int]] = field(default_factory=dict)  # name → measures
    confusion: list[list[int]] | None = None  # examples by label (rows) and prediction

    def record(self) -> dict[str, Any]:
        """The details by class, for result.json; empty if there are none."""
        parts = {"classes": self.classes, "confusion": self.confusion}
        return {name: part for name, part in parts.items() if part}


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

    def report(
        self, outputs: Tensor, records: dict[str, Tensor], classes: tuple[str, ...]
    ) -> Report:
        """What more is said of a split's outputs [N, C] and records [N, ...] at the end of a run.

        It costs more than `metrics`, which are computed after every epoch. Of dense outputs, which
        are not kept, there are the records only.
        """
        return Report()

    @abstractmethod
    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the metrics of a few training examples show that the model memorised them."""
