"""Training metrics: outputs stay on the device and are reduced to numbers every `log.every`."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.state import match, match_type
from trainer.history.store import DifficultyStore
from trainer.loss import Loss, contract, spread
from trainer.task import Task

Sums = dict[str, list[float]]  # metric → [sum, count]
NO_IMAGES = torch.empty(0)  # stands in for the images: 50 batches of them would fill a GPU
MOST_PENDING = 2**28  # bytes; beyond it (large masks and their outputs) flush at once
ALIGNED = 16  # bytes, for tensors of any dtype
LARGE = 2**22  # bytes of a batch's images, from which its results are kept in pieces of that size


class Pieces:
    """Keeps copies of small tensors on the CPU side by side, in pieces of memory.

    Left where they are, between the batches that are freed, each would split the memory of one, and
    the next batch would need new memory: 2 GB more for 50 batches of 64 photographs.
    """

    def __init__(self) -> None:
        self.piece = torch.empty(0, dtype=torch.uint8)
        self.used = 0  # bytes of it

    def keep(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor, or a large one itself."""
        if tensor.nbytes > LARGE:
            return tensor
        if self.used + tensor.nbytes > len(self.piece):
            self.piece, self.used = torch.empty(LARGE, dtype=torch.uint8), 0
        own = self.piece[self.used : self.used + tensor.nbytes]
        self.used += -(-tensor.nbytes // ALIGNED) * ALIGNED
        return own.view(tensor.dtype).view(tensor.shape).copy_(tensor)


class Meter:
    """Collects outputs and losses; `flush` reduces them to metrics and fills the difficulty store.

    Means are over the rows of the plan, which keeps training metrics comparable between miners:
    rows that a miner adds (count 0) are left out, rows that it masks later are included.
    """

    def __init__(self, task: Task, loss: Loss, store: DifficultyStore) -> None:
        self.task = task
        self.loss = loss
        self.store = store
        self.pending: list[tuple[Batch, Tensor, Tensor]] = []
        self.bytes = 0  # size of the pending tensors
        self.pieces = Pieces()
        self.interval: Sums = {}  # since the last log event
        self.epoch: Sums = {}  # since the epoch began

    def add(self, batch: Batch, outputs: Tensor, losses: Tensor, step: int) -> None:
        """Keep detached outputs [B, C, ...] and losses [B, ...] until the next flush."""
        large = batch.images.device.type == "cpu" and batch.images.nbytes > LARGE
        batch = batch.with_images(NO_IMAGES)
        if large:
            batch = batch.map(self.pieces.keep)
            outputs, losses = self.pieces.keep(outputs), self.pieces.keep(losses)
        self.pending.append((batch, outputs, losses))
        parts = (batch.labels, batch.weight, batch.count, outputs, losses)
        self.bytes += sum(part.nbytes for part in parts)
        if self.bytes > MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Reduce everything added since the last flush to sums and difficulty records."""
        by_labels: dict[int, list[tuple[Batch, Tensor, Tensor]]] = defaultdict(list)
        for item in self.pending:
            by_labels[item[0].labels.shape[1]].append(item)
        self.drop_pending()
        for items in by_labels.values():
            for name, (total, number) in self.sums(items).items():
                for sums in (self.interval, self.epoch):
                    sum_and_count = sums.setdefault(name, [0.0, 0.0])
                    sum_and_count[0] += total
                    sum_and_count[1] += number

    def drop_pending(self) -> None:
        """Discard everything added since the last flush."""
        self.pending, self.bytes = [], 0

    def sums(self, items: list[tuple[Batch, Tensor, Tensor]]) -> dict[str, tuple[float, float]]:
        """Return sum and count of each metric over batches with the same K, labels per row."""
        batch = columns([item[0] for item in items])
        outputs = torch.cat([item[1] for item in items])
        losses = torch.cat([item[2] for item in items])
        planned = (batch.count > 0).double()
        elements = planned.reshape(len(planned), -1).sum(1)  # of each row: 1, or its pixels
        records_of = self.task.training_records
        if batch.labels.shape[1] == 1:
            records = records_of(outputs, batch.labels[:, 0])
            self.record(batch, {"loss": row_losses(losses, planned), **records})
            tracked = {metric: records[field] for metric, field in self.task.tracked.items()}
        else:
            self.record_whole(batch, outputs, losses)
            tracked = {
                metric: contract(lambda y, f=field: records_of(outputs, y)[f], batch)
                for metric, field in self.task.tracked.items()
            }
        counts = self.task.counts(self.loss.denominator, batch)
        sums = {"loss": planned_sums(losses, counts, spread(planned, losses))}
        for metric, values in tracked.items():
            sums[metric] = planned_sums(values, torch.ones_like(elements), elements)
        return sums

    def record(self, batch: Batch, records: dict[str, Tensor]) -> None:
        """Record the rows that are a single example, for batches with K = 1."""
        ids, whole = batch.index[:, 0], batch.shares[:, 0] == 1
        if not whole.any():
            return
        if not whole.all():
            ids = ids[whole]
            records = {name: records[name][whole] for name in self.store.dtypes}
        self.store.add(ids, records)

    def record_whole(self, batch: Batch, outputs: Tensor, losses: Tensor) -> None:
        """Record the rows that are a single example, such as SMOTE's originals, for K above 1."""
        whole = batch.shares.amax(1) == 1
        if not whole.any():
            return
        labels, ids = batch.dominant()
        records = self.task.training_records(outputs[whole], labels[whole])
        self.store.add(ids[whole], {"loss": losses[whole], **records})

    def take_interval(self) -> dict[str, float]:
        """Return the metrics since the last event, as of the last flush; start a new interval."""
        metrics, self.interval = means(self.interval), {}
        return metrics

    def take_epoch(self) -> dict[str, float]:
        """Return the metrics of the epoch, as of the last flush; start a new epoch."""
        metrics, self.epoch = means(self.epoch), {}
        return metrics

    def so_far(self) -> dict[str, float]:
        """Return the metrics since the epoch began, as of the last flush."""
        return means(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and counts, as of the last flush."""
        return {"interval": self.interval, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums and counts of the interval and the epoch."""
        self.interval, self.epoch = (checked(state[name], name) for name in ("interval", "epoch"))


def checked(sums: dict[str, Any], name: str) -> Sums:
    """Return a checkpoint's sums. Raises ValueError where they are not two numbers by metric."""
    match_type(dict, sums, name)
    return {key: match([0.0, 0.0], pair, f"{name}.{key}") for key, pair in sums.items()}


def columns(batches: list[Batch]) -> Batch:
    """Concatenate batches, without their images."""
    names = ("labels", "shares", "index", "weight", "count")
    return Batch(NO_IMAGES, *(torch.cat([getattr(b, name) for b in batches]) for name in names))


def row_losses(losses: Tensor, planned: Tensor) -> Tensor:
    """Reduce losses [B] or [B, H, W] to one per row [B]: the mean over its planned pixels."""
    if losses.ndim == 1:
        return losses
    planned = spread(planned, losses).expand_as(losses)
    total = (losses * planned).flatten(1).sum(1)
    return (total / planned.flatten(1).sum(1).clamp(min=1)).float()


def planned_sums(values: Tensor, counts: Tensor, planned: Tensor) -> tuple[float, float]:
    """Return the sums of values and counts, both [B] or [B, H, W], over the planned elements."""
    return (values * planned).sum().item(), (counts * planned).sum().item()


def means(sums: Sums) -> dict[str, float]:
    """Return the mean, sum / count, of each metric that counted anything."""
    return {name: total / number for name, (total, number) in sums.items() if number}
