"""What the training passes showed: kept on the device, turned into numbers now and then."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.history.store import DifficultyStore
from trainer.loss import Loss, contract, spread
from trainer.task import Task

Sums = dict[str, list[float]]  # metric → [sum, count]
NO_IMAGES = torch.empty(0)  # images are not kept: 50 batches of them would fill a GPU
MOST_HELD = 2**28  # bytes; more, as large masks and their outputs are, is not left waiting


class Meter:
    """Collects outputs and losses; `flush` makes metrics of them and feeds the difficulty store.

    The mean is over the rows of the plan: those that a miner adds (count 0) are left out, those
    that it masks later are not. So training metrics compare between miners.
    """

    def __init__(self, task: Task, loss: Loss, store: DifficultyStore) -> None:
        self.task = task
        self.loss = loss
        self.store = store
        self.pending: list[tuple[Batch, Tensor, Tensor]] = []
        self.held = 0  # bytes of them
        self.interval: Sums = {}  # since the last event
        self.epoch: Sums = {}  # since the epoch began

    def add(self, batch: Batch, outputs: Tensor, losses: Tensor) -> None:
        """Keep what a training pass showed, detached; nothing is computed until much is held."""
        self.pending.append((batch.with_images(NO_IMAGES), outputs, losses))
        parts = (batch.labels, batch.weight, batch.count, outputs, losses)
        self.held += sum(part.nbytes for part in parts)
        if self.held > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Turn what was added since the last flush into sums and records."""
        by_labels: dict[int, list[tuple[Batch, Tensor, Tensor]]] = defaultdict(list)
        for item in self.pending:
            by_labels[item[0].labels.shape[1]].append(item)
        self.pending, self.held = [], 0
        for items in by_labels.values():
            for name, (total, number) in self.sums(items).items():
                for sums in (self.interval, self.epoch):
                    held = sums.setdefault(name, [0.0, 0.0])
                    held[0] += total
                    held[1] += number

    def sums(self, items: list[tuple[Batch, Tensor, Tensor]]) -> dict[str, tuple[float, float]]:
        """Sum and count of each metric over batches of one K."""
        batch = columns([item[0] for item in items])
        outputs = torch.cat([item[1] for item in items])
        losses = torch.cat([item[2] for item in items])
        planned = (batch.count > 0).double()
        elements = planned.reshape(len(planned), -1).sum(1)  # of each row: 1, or its pixels
        records_of = self.task.training_records
        if batch.labels.shape[1] == 1:
            records = records_of(outputs, batch.labels[:, 0])
            self.record(batch, {"loss": of_rows(losses, planned), **records})
            tracked = {metric: records[field] for metric, field in self.task.tracked.items()}
        else:
            self.record_whole(batch, outputs, losses)
            tracked = {
                metric: contract(lambda y, f=field: records_of(outputs, y)[f], batch)
                for metric, field in self.task.tracked.items()
            }
        counts = contract(self.loss.denominator, batch)
        sums = {"loss": sums_of(losses, counts, spread(planned, losses))}
        for metric, values in tracked.items():
            sums[metric] = sums_of(values, torch.ones_like(elements), elements)
        return sums

    def record(self, batch: Batch, records: dict[str, Tensor]) -> None:
        """Record the rows that no mixer touched: where it blends targets, K stays 1."""
        ids, whole = batch.index[:, 0], batch.shares[:, 0] == 1
        if not whole.any():
            return
        if not whole.all():
            ids = ids[whole]
            records = {name: records[name][whole] for name in self.store.dtypes}
        self.store.add(ids, records)

    def record_whole(self, batch: Batch, outputs: Tensor, losses: Tensor) -> None:
        """Of rows that may blend, record those that are one example alone (SMOTE's originals)."""
        whole = batch.shares.amax(1) == 1
        if not whole.any():
            return
        labels, ids = batch.dominant()
        records = self.task.training_records(outputs[whole], labels[whole])
        self.store.add(ids[whole], {"loss": losses[whole], **records})

    def take_interval(self) -> dict[str, float]:
        """Metrics since the last event, as of the last flush; the next interval begins."""
        metrics, self.interval = means(self.interval), {}
        return metrics

    def take_epoch(self) -> dict[str, float]:
        """Metrics of the whole epoch, as of the last flush; the next begins."""
        metrics, self.epoch = means(self.epoch), {}
        return metrics

    def so_far(self) -> dict[str, float]:
        """Metrics since the epoch began, as of the last flush."""
        return means(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """The sums, as of the last flush."""
        return {"interval": self.interval, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.interval, self.epoch = state["interval"], state["epoch"]


def columns(batches: list[Batch]) -> Batch:
    """The batches as one, without their images."""
    names = ("labels", "shares", "index", "weight", "count")
    return Batch(NO_IMAGES, *(torch.cat([getattr(b, name) for b in batches]) for name in names))


def of_rows(losses: Tensor, planned: Tensor) -> Tensor:
    """Losses [B], or of pixels [B, H, W] the mean over those that count."""
    if losses.ndim == 1:
        return losses
    planned = spread(planned, losses).expand_as(losses)
    total = (losses * planned).flatten(1).sum(1)
    return (total / planned.flatten(1).sum(1).clamp(min=1)).float()


def sums_of(values: Tensor, counts: Tensor, planned: Tensor) -> tuple[float, float]:
    """Sums of values and of counts over the planned rows."""
    return (values * planned).sum().item(), (counts * planned).sum().item()


def means(sums: Sums) -> dict[str, float]:
    """Sum over count of each metric."""
    return {name: total / number for name, (total, number) in sums.items() if number}
