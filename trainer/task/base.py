"""The task contract: from model outputs to per-example records, and from records to metrics."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from trainer.core.batch import Batch, Target, contract
from trainer.dataset import Data
from trainer.dataset.shared.boxes import MIN_VISIBLE

Values = Callable[[Tensor], Tensor]
Score = Callable[[Tensor, Tensor], Tensor]  # a loss: outputs and hard labels → unreduced values


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
    min_visible: float = MIN_VISIBLE  # part of a box that an augmentation must leave in the image
    elementwise = False  # whether `elements` divides an image into what a miner chooses among

    @property
    def first_stage(self) -> tuple[int, float]:
        """Of a detector's first stage, how many elements of an image are trained on.

        And at most what part of them positives. Those of the last stage are left to the miner.
        """
        return 0, 0.0

    def bind(self, model: nn.Module) -> None:
        """Receive the model, before anything is computed from its outputs.

        Raises ConfigError for a model that the task cannot use.
        """

    @abstractmethod
    def outputs(self, data: Data) -> int:
        """The number of outputs of the model's head."""

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of a model's outputs for one image, without the batch dimension."""
        return (self.outputs(data),)

    def elements(self, outputs: Tensor, batch: Batch) -> Batch:
        """What the loss is computed of, and miners choose among: the examples or pixels themselves.

        Detection makes a batch of anchors or regions, with their own labels, weights and counts.
        """
        return batch

    def losses(self, score: Score, outputs: Tensor, batch: Batch) -> Tensor:
        """The share-weighted losses [B, ...] by `score` of outputs [B, ...] for a batch's labels.

        The batch is one of `elements`.
        """
        return contract(lambda labels: score(outputs, labels), batch)

    def counts(self, denominator: Values, batch: Batch) -> Tensor:
        """What each label adds to the denominator of a mean, [B, ...], by that of the loss."""
        return contract(denominator, batch)

    def judged(
        self, score: Score, denominator: Values, outputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses of outputs and labels in evaluation, and their denominators, each [B, ...]."""
        return score(outputs, labels), denominator(labels)

    def observed(
        self, outputs: Tensor, losses: Tensor, batch: Batch
    ) -> tuple[Batch, Tensor, Tensor]:
        """What is kept of a training pass for metrics and records: batch, outputs and losses.

        `training_records` is given these outputs.
        """
        return batch, outputs.detach(), losses.detach()

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
