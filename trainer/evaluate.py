"""Metrics of a split, from per-example tensors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.batch import Batch
from trainer.dataset import Split
from trainer.forward import Forward
from trainer.loader import Feed
from trainer.loss import Loss
from trainer.plan import Plan
from trainer.task import Task


@dataclass(frozen=True)
class Evaluation:
    """What a model does on each of the N examples of a split, on the CPU."""

    ids: Tensor  # [N]
    outputs: Tensor  # [N, ...]
    records: dict[str, Tensor]  # [N] by field, the loss among them
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
            for batch in feed.batches(Plan.of(ids, self.batch_size)):
                images = self.forward.standardise(self.forward.unit(batch.images))
                yield batch, self.forward(images)
                poll()

    def __call__(
        self,
        feed: Feed,
        split: Split,
        *,
        poll: Callable[[], None] = lambda: None,
        transform: Callable[[Tensor], Tensor] = lambda outputs: outputs,
    ) -> Evaluation:
        """Evaluate a split; `transform` is applied to its outputs [N, ...]."""
        passes = [(out, b.labels[:, 0]) for b, out in self.passes(feed, split.ids, poll)]
        self.loss.eval()  # what a loss does for training alone is not in its value
        with torch.no_grad():
            outputs = transform(torch.cat([out for out, _ in passes]))
            labels = torch.cat([label for _, label in passes])
            losses, counts = self.loss.score(outputs, labels), self.loss.count(labels)
            records = {"loss": losses, **self.task.records(outputs, labels)}
        self.loss.train()
        records = {name: values.cpu() for name, values in records.items()}
        loss = (losses.double().sum() / counts.double().sum()).item()
        metrics = {"loss": loss, **self.task.metrics(records)}
        return Evaluation(split.ids, outputs.cpu(), records, metrics)
