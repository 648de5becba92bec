"""Rows that wait on the device until they fill a batch.

How many wait depends on values that only the device knows. So that a step need not wait for them,
their number is read a step late: a batch is taken if the rows that waited before this step's joined
them fill it. The buffers have fixed sizes, and the choice is the same on any device.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.errors import CheckpointError
from trainer.core.state import match_tensor, match_type, row_ids
from trainer.mining.shared.late_number import LateNumber

POOLS = 3  # batches that fit in the queue: two that wait, and the pool that joins them
FIELDS = ("images", "shares", "index", "weight", "count")
INPUTS = {4: torch.float32, 2: torch.int32}  # dtype of images [n, C, H, W], of texts [n, L]


class RowQueue:
    """Rows of prepared images with one or more labels, first in, first out.

    `size` is the number of rows in a full batch. Labels are not stored: they are those of the
    dataset ids, so that a checkpoint cannot bring others. Of texts, `words` is the number of word
    ids; it is 0 for images.
    """

    def __init__(self, size: int, labels: Tensor, words: int = 0) -> None:
        self.size = size
        self.words = words
        self.labels = labels  # [M, ...] by dataset id
        self.capacity = POOLS * (size + 1)  # a last batch of one row joins the batch before it
        self.rows: dict[str, Tensor] = {}  # by field [capacity + 1, ...]; the last row is for waste
        self.count = torch.zeros((), dtype=torch.int64, device=labels.device)
        self.waited = LateNumber()

    def exchange(self, batch: Batch, chosen: Tensor) -> Batch:
        """Append the rows of a mask `chosen` [B]; return the first `size`, or no row.

        They are returned if as many waited at the end of the last call, so that no more than about
        two batches ever wait.
        """
        full = self.waited.read() >= self.size
        self.append(batch, chosen)
        taken = self.take() if full else batch.select(slice(0, 0))
        self.waited.send(self.count)
        return taken

    def append(self, batch: Batch, chosen: Tensor) -> None:
        """Append the rows of a mask [B] in order. What exceeds the capacity is dropped."""
        batch = self.fitted(batch)
        place = torch.where(chosen, self.count + chosen.cumsum(0) - 1, self.capacity)
        place.clamp_(max=self.capacity)
        for name, rows in self.rows.items():
            rows.index_copy_(0, place, getattr(batch, name))
        self.count = (self.count + chosen.sum()).clamp(max=self.capacity)

    def take(self) -> Batch:
        """Take the first `size` rows off the queue."""
        taken = {name: rows[: self.size] for name, rows in self.rows.items()}
        self.rows = {n: torch.cat([r[self.size :], r[: self.size]]) for n, r in self.rows.items()}
        self.count = self.count - self.size
        return Batch(labels=self.labels[taken["index"]], **taken)

    def fitted(self, batch: Batch) -> Batch:
        """The batch with as many labels a row as the queue's rows, which gain some if need be.

        Further labels have a share of 0. Raises CheckpointError where a restored queue holds other
        images.
        """
        if not self.rows:
            self.rows = {name: self.blank(getattr(batch, name)) for name in FIELDS}
        if (shape := batch.images.shape[1:]) != (own := self.rows["images"].shape[1:]):
            raise CheckpointError(f"miner: queue.images are {list(own)}, not {list(shape)}")
        number = max(batch.index.shape[1], self.rows["index"].shape[1])
        self.rows |= widened(self.rows["index"], self.rows["shares"], number)
        return replace(batch, **widened(batch.index, batch.shares, number))

    def blank(self, like: Tensor) -> Tensor:
        """Room for rows [capacity + 1, ...] like those of a tensor [B, ...]."""
        made = like.new_zeros(self.capacity + 1, *like.shape[1:])
        if like.ndim == 4 and not like.is_contiguous():
            return made.to(memory_format=torch.channels_last)
        return made

    def state_dict(self) -> dict[str, Any]:
        """The rows that wait, on the CPU, and the size of a batch."""
        waiting = int(self.count)
        rows = {name: rows[:waiting].cpu().clone() for name, rows in self.rows.items()}
        return {"size": self.size, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the rows that waited. Raises ValueError for what cannot be such rows."""
        rows = match_type(dict, state["rows"], "queue.rows")
        if not rows:
            return
        index = row_ids(rows["index"].flatten(), len(self.labels), "queue.index")
        number = len(rows["weight"])
        labels = max(1, index.numel() // max(number, 1))
        if number > self.capacity:
            raise ValueError(f"queue has {number} rows, more than {self.capacity}")
        expected = {
            "shares": torch.empty(number, labels),
            "index": torch.empty(number, labels, dtype=torch.int64),
            "weight": torch.empty(number),
            "count": torch.empty(number),
        }
        expected["images"] = torch.empty_like(inputs_of(rows["images"], number, self.words))
        device = self.labels.device
        self.rows = {}
        for name in FIELDS:
            given = match_tensor(expected[name], rows[name], f"queue.{name}").to(device)
            self.rows[name] = self.blank(given)
            self.rows[name][:number] = given
        self.count.fill_(number)
        self.waited.send(self.count)


def inputs_of(given: Any, number: int, words: int) -> Tensor:
    """Images [n, C, H, W], or texts [n, L] of `words` word ids, from a checkpoint.

    Raises ValueError for anything else.
    """
    if not isinstance(given, Tensor) or INPUTS.get(given.ndim) != given.dtype:
        raise ValueError("queue.images are neither images nor texts")
    if len(given) != number:
        raise ValueError(f"queue.images has {len(given)} rows, not {number}")
    if given.ndim == 2 and ((given < 0) | (given >= words)).any():
        raise ValueError(f"queue.images has word ids outside 0 to {words - 1}")
    return given


def widened(index: Tensor, shares: Tensor, number: int) -> dict[str, Tensor]:
    """Ids and shares [B, K] with `number` labels a row; those added have a share of 0."""
    missing = number - index.shape[1]
    if not missing:
        return {"index": index, "shares": shares}
    index = torch.cat([index, index[:, :1].expand(-1, missing)], 1)
    shares = torch.cat([shares, shares.new_zeros(len(shares), missing)], 1)
    return {"index": index, "shares": shares}
