"""Evaluates a model on a split: per-example records first, then metrics from them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.core.batch import TINY, Batch
from trainer.core.errors import DivergedError
from trainer.core.forward import Forward, evaluating
from trainer.core.plan import Plan
from trainer.core.text import enumerated
from trainer.dataset import Split
from trainer.loader import Feed
from trainer.loss import Loss
from trainer.task import Task
from trainer.task.base import Report
from trainer.training.nonfinite import REMEDY

Values = Callable[[Tensor, Batch], dict[str, Tensor]]

NAMED = 10  # classes in a message
WORST_GROUP = "worst_group_{measure}"


@dataclass(frozen=True)
class Evaluation:
    """Outputs, records and metrics of a model on the N examples of a split, on the CPU."""

    ids: Tensor  # [N]
    outputs: Tensor  # [N, C]; empty, [0], for dense outputs, which would not fit in memory
    records: dict[str, Tensor]  # [N, ...] by field, including the loss
    metrics: dict[str, float]
    report: Report = field(default_factory=Report)  # of a run's end; its metrics are in `metrics`

    def left_out(self, split: str, classes: tuple[str, ...]) -> str | None:
        """Say which classes have no example in a split, and which metric leaves them out."""
        if "label" in self.records and "prediction" in self.records:
            present = self.records["label"].bincount(minlength=len(classes)) > 0
            metric = "balanced_accuracy"
        elif "label" in self.records:  # multi-hot
            present, metric = self.records["label"].any(0), "mAP"
        elif "union" in self.records:
            present, metric = self.records["union"].sum(0) > 0, "mean_iou"
        else:
            return None
        absent = [name for name, there in zip(classes, present.tolist(), strict=False) if not there]
        if not absent:
            return None
        names = enumerated(absent[:NAMED]) + (", ..." if len(absent) > NAMED else "")
        return (
            f"{split} has no examples of {len(absent)} of {len(classes)} classes ({names}), which "
            f"{metric} leaves out"
        )

    def require_finite(self, about: str) -> None:
        """Raise DivergedError, about the split and weights `about`, for a loss that is not finite.

        Metrics may be NaN: they are undefined where a split has no example for them.
        """
        loss, counted = self.metrics["loss"], self.records.get("pixels")
        if counted is not None and not counted.any():
            return  # every pixel is ignored
        if not math.isfinite(loss) or self.outputs.isnan().any():
            what = f"loss is {loss}" if not math.isfinite(loss) else "outputs are NaN"
            raise DivergedError(f"the {what} on {about}; {REMEDY}")


class Evaluator:
    """Evaluates splits in dataset order, with the model in eval mode."""

    def __init__(self, forward: Forward, task: Task, loss: Loss, batch_size: int = 256) -> None:
        self.forward = forward
        self.task = task
        self.loss = loss
        self.batch_size = batch_size

    def passes(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the batches of examples `ids` [n] with their outputs [B, ...], without gradient.

        `poll` is called after each batch.
        """
        with self.forward.read_only():
            yield from self.outputs(feed, ids, poll)

    def outputs(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Like `passes`, but leave the model's mode and gradients as the caller set them."""
        for batch in feed.batches(Plan.of(ids, self.batch_size)):
            images = self.forward.inputs(batch.images)
            yield batch, self.forward(images)
            poll()

    def __call__(
        self, feed: Feed, split: Split, *, poll: Callable[[], None] = lambda: None
    ) -> Evaluation:
        """Evaluate all examples of a split; `poll` is called after each batch."""

        def values(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
            kept = outputs if outputs.ndim == 2 else outputs.new_empty(len(outputs), 0)
            return {"": kept, **self.records(outputs, batch.labels[:, 0])}

        records = self.values(feed, split.ids, poll, values)
        outputs = records.pop("")
        if not outputs.numel():
            outputs = outputs.flatten()  # dense outputs were not kept
        if split.groups is not None:
            records["group"] = split.groups[split.ids]
        return self.evaluation(split.ids, outputs, records)

    def values(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None], compute: Values
    ) -> dict[str, Tensor]:
        """Return what `compute` makes of the examples `ids` [n]: tensors [n, ...] by name."""
        found: dict[str, Tensor] = {}
        start = 0
        for batch, outputs in self.passes(feed, ids, poll):
            part = compute(outputs, batch)
            for name, each in part.items():
                if name not in found:  # in one piece: small ones would split the memory of batches
                    found[name] = each.new_empty(len(ids), *each.shape[1:])
                found[name][start : start + len(each)] = each
            start += len(batch)
        return found

    def judge(
        self, ids: Tensor, outputs: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> Evaluation:
        """Evaluate given outputs [N, ...] of examples `ids` [N] against labels [N, ...].

        `groups` [N] are the numbers of their groups, if they have any.
        """
        records = self.records(outputs, labels)
        if groups is not None:
            records["group"] = groups
        return self.evaluation(ids, outputs, records)

    def reported(self, evaluation: Evaluation, classes: tuple[str, ...]) -> Evaluation:
        """Add what the task says of a split at the end of a run, by class name."""
        report = self.task.report(evaluation.outputs, evaluation.records, classes)
        return replace(evaluation, metrics=evaluation.metrics | report.metrics, report=report)

    @torch.no_grad()
    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return per-example values [B, ...]: the task's, the loss, and the loss's denominator.

        `outputs` are [B, C, ...], `labels` [B, ...].
        """
        with evaluating(self.loss):  # without regularisers that act in training only
            parts = self.loss.forward, self.loss.denominator
            losses, counts = self.task.judged(*parts, outputs, labels)
        own = self.task.records(outputs, labels)
        total, count = (v.double().reshape(len(v), -1).sum(1) for v in (losses, counts))
        each = losses if losses.ndim == 1 else (total / count.clamp(min=TINY)).float()
        return {"loss": each, "total_loss": total, "count": count, **own}

    def evaluation(self, ids: Tensor, outputs: Tensor, records: dict[str, Tensor]) -> Evaluation:
        """Reduce the records [N, ...] of a split to metrics."""
        records = {name: values.cpu() for name, values in records.items()}
        loss = (records.pop("total_loss").sum() / records.pop("count").sum()).item()
        metrics = {"loss": loss, **self.task.metrics(records), **worst_group(records)}
        return Evaluation(ids, outputs.cpu(), records, metrics)


def worst_group(records: dict[str, Tensor]) -> dict[str, float]:
    """The accuracy, or exact match, of the group with the lowest, where examples [N] have groups.

    Sagawa et al. 2020, https://arxiv.org/abs/1911.08731, sec. 2.
    """
    if not {"group", "correct"} <= records.keys() or records["correct"].ndim != 1:
        return {}
    _, accuracies, _ = accuracy_by_group(records)
    name = WORST_GROUP.format(measure=group_measure(records))
    return {name: accuracies.min().item()}


def group_measure(records: dict[str, Tensor]) -> str:
    """What the fraction of right examples is called: of several labels, all of them are right."""
    return "exact_match" if "label_accuracy" in records else "accuracy"


def accuracy_by_group(records: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The groups [G] that have examples, the accuracy [G] of each and its number of examples."""
    groups, place = records["group"].unique(return_inverse=True)
    counts = place.bincount(minlength=len(groups))
    hits = torch.zeros(len(groups), dtype=torch.float64)
    hits.index_add_(0, place, records["correct"].double())
    return groups, hits / counts, counts
