"""Metrics of a split, from per-example tensors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.forward import Forward
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.loader import Feed
from trainer.loss import Loss
from trainer.task import Task

Values = Callable[[Tensor, Batch], dict[str, Tensor]]

TINY = 1e-30  # keeps 0 / 0 away where nothing counts


@dataclass(frozen=True)
class Evaluation:
    """What a model does on each of the N examples of a split, on the CPU."""

    ids: Tensor  # [N]
    outputs: Tensor  # [N, C]; [0] where they are maps, which would fill the memory
    records: dict[str, Tensor]  # [N, ...] by field, the loss among them
    metrics: dict[str, float]


class Evaluator:
    """Runs the model over splits in eval mode, in dataset order."""

    def __init__(self, forward: Forward, task: Task, loss: Loss, batch_size: int = 256) -> None:
        self.forward = forward
        self.task = task
        self.loss = loss
        self.batch_size = batch_size

    def passes(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Batches of the examples `ids` with their outputs; `poll` is called after each."""
        with self.forward.read_only():
            yield from self.outputs(feed, ids, poll)

    def outputs(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """The same in whatever mode the model is."""
        for batch in feed.batches(Plan.of(ids, self.batch_size)):
            images = self.forward.inputs(batch.images)
            yield batch, self.forward(images)
            poll()

    def __call__(
        self, feed: Feed, split: Split, *, poll: Callable[[], None] = lambda: None
    ) -> Evaluation:
        """Evaluate a split."""

        def values(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
            held = outputs if outputs.ndim == 2 else outputs.new_empty(len(outputs), 0)
            return {"": held, **self.records(outputs, batch.labels[:, 0])}

        records = self.values(feed, split.ids, poll, values)
        outputs = records.pop("")
        if not outputs.numel():
            outputs = outputs.flatten()  # none are held
        return self.evaluation(split.ids, outputs, records)

    def values(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None], of: Values
    ) -> dict[str, Tensor]:
        """What `of` makes of outputs and batch, by name, for all examples `ids` [n] in order."""
        parts = [of(outputs, batch) for batch, outputs in self.passes(feed, ids, poll)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def judge(self, ids: Tensor, outputs: Tensor, labels: Tensor) -> Evaluation:
        """What outputs [N, ...] for examples `ids` [N] with some labels [N, ...] are worth."""
        return self.evaluation(ids, outputs, self.records(outputs, labels))

    @torch.no_grad()
    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Per-example values [B] or [B, ...]: the task's, the loss, and what it counts."""
        self.loss.eval()  # what a loss does for training alone is not in its value
        losses, counts = self.loss.forward(outputs, labels), self.loss.denominator(labels)
        self.loss.train()
        own = self.task.records(outputs, labels)
        total, count = (v.double().reshape(len(v), -1).sum(1) for v in (losses, counts))
        each = losses if losses.ndim == 1 else (total / count.clamp(min=TINY)).float()
        return {"loss": each, "total_loss": total, "count": count, **own}

    def evaluation(self, ids: Tensor, outputs: Tensor, records: dict[str, Tensor]) -> Evaluation:
        """The metrics of a split's records."""
        records = {name: values.cpu() for name, values in records.items()}
        loss = (records.pop("total_loss").sum() / records.pop("count").sum()).item()
        metrics = {"loss": loss, **self.task.metrics(records)}
        return Evaluation(ids, outputs.cpu(), records, metrics)
