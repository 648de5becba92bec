"""What a run's parts are in one of several processes: the same numbers in each, rank 0 writes."""

import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.signals import Signals
from trainer.dataset import Split
from trainer.distributed.world import World
from trainer.history.store import DifficultyStore
from trainer.loader import Feed
from trainer.report.log import Log
from trainer.storage.run_folder import RunFolder
from trainer.training.evaluate import Evaluation, Evaluator, Values
from trainer.training.meter import Meter, Sums


class SharedSignals(Signals):
    """A signal that one process receives stops all, at the same step."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.agreed: int | None = None

    def agreed_signal(self) -> int | None:
        """The signal that any process has received. A collective: all must call it together."""
        if self.agreed is None:
            self.agreed = self.world.highest(self.received or 0) or None
        return self.agreed

    def __exit__(self, *_: object) -> None:
        """From here on a process ends by itself: torchrun signals those that are not the first."""
        for number in self.previous:
            signal.signal(number, signal.SIG_IGN)


class SharedEvaluator(Evaluator):
    """Splits the examples over the processes. Each has as many batches, the last ones filled up."""

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.world = world

    def values(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None], of: Values
    ) -> dict[str, Tensor]:
        """The values of all examples `ids` [n] in order, in every process."""
        each = -(-len(ids) // self.world.size)
        ends = [min(each * rank, len(ids)) for rank in range(self.world.size + 1)]
        sizes = [b - a for a, b in pairwise(ends)]
        rank = self.world.rank
        own = ids[ends[rank] : ends[rank + 1]]
        filled = torch.cat([own, ids[:1].expand(each - len(own))])
        values = super().values(feed, filled, poll, of)
        whole = self.world.gather_rows([value[: len(own)] for value in values.values()], sizes)
        return dict(zip(values, whole, strict=True))

    def __call__(
        self, feed: Feed, split: Split, *, poll: Callable[[], None] = lambda: None
    ) -> Evaluation:
        """Evaluate a split; the metrics are rank 0's to the last bit."""
        made = super().__call__(feed, split, poll=poll)
        return replace(made, metrics=self.world.broadcast(made.metrics))


class SharedStore(DifficultyStore):
    """Each process records its own rows; the last record of an example stands among all."""

    def __init__(self, world: World, *arguments: Any) -> None:
        self.world = world
        super().__init__(*arguments)

    def clear(self) -> None:
        """Begin an epoch: nothing seen."""
        super().clear()
        self.seen = torch.full((self.size,), -1, device=self.device)  # the step of each record

    def note(self, batch: Batch, step: int) -> None:
        """Remember the step at which rows that are a single example were seen."""
        _, ids = batch.dominant()
        at = torch.where(batch.shares.amax(1) == 1, step, -1)
        self.seen.scatter_reduce_(0, ids, at, "amax")

    def merge(self) -> None:
        """Give every process the last records of all: of one step, those of the highest rank."""
        names, sizes = list(self.rows), [1] * self.world.size
        own = [self.seen, *self.rows.values()]
        seen, *rows = self.world.gather_rows([row[None] for row in own], sizes)
        ranks = torch.arange(len(seen), device=seen.device)[:, None]
        last = (seen * len(seen) + ranks).argmax(0, keepdim=True)
        self.rows = {n: row.gather(0, last)[0] for n, row in zip(names, rows, strict=True)}
        self.seen = seen.amax(0)

    def describe(self, **arrays: Tensor) -> None:
        """Rank 0 writes what stays the same."""
        if self.world.is_main:
            super().describe(**arrays)

    def flush(self, epoch: int) -> None:
        """Rank 0 writes the epoch's row of all."""
        self.merge()
        if self.world.is_main:
            super().flush(epoch)
        self.clear()

    def state_dict(self) -> dict[str, Any]:
        """The rows of all."""
        self.merge()
        return super().state_dict()


class SharedMeter(Meter):
    """Sums of the process's own rows, added up when they are asked for."""

    store: SharedStore

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.world = world

    def add(self, batch: Batch, outputs: Tensor, losses: Tensor, step: int) -> None:
        """Keep them, and note the step for the store, which keeps the last record of an example."""
        super().add(batch, outputs, losses, step)
        self.store.note(batch, step)

    def take_interval(self) -> dict[str, float]:
        """Metrics of all processes since the last event."""
        self.interval = self.of_all(self.interval)
        return super().take_interval()

    def take_epoch(self) -> dict[str, float]:
        """Metrics of all processes of the whole epoch."""
        self.epoch = self.of_all(self.epoch)
        return super().take_epoch()

    def so_far(self) -> dict[str, float]:
        """Metrics of all processes since the epoch began."""
        own, self.epoch = self.epoch, self.of_all(self.epoch)
        metrics, self.epoch = super().so_far(), own
        return metrics

    def of_all(self, own: Sums) -> Sums:
        """The sums of all processes."""
        added: Sums = {}
        for sums in self.world.gather_objects(own):
            for name, (total, number) in sums.items():
                sum_and_count = added.setdefault(name, [0.0, 0.0])
                sum_and_count[0] += total
                sum_and_count[1] += number
        return added

    def state_dict(self) -> dict[str, Any]:
        """The sums of all processes."""
        return {"interval": self.of_all(self.interval), "epoch": self.of_all(self.epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Rank 0 takes them back."""
        super().load_state_dict(state if self.world.is_main else {"interval": {}, "epoch": {}})


class NoFolder(RunFolder):
    """Of a process that does not write: the folder is another's."""

    @property
    def status(self) -> dict[str, Any]:
        """Rank 0 reads it."""
        return {}

    def claim(self, *, fresh: bool) -> None:
        """Rank 0 does."""

    def write_status(self, state: str, exit_code: int | None = None, error: str = "") -> None:
        """Rank 0 does."""


class NoLog(Log):
    """Of a process that does not write."""

    def __init__(self) -> None:
        """Nothing is opened."""

    def state_dict(self) -> int:
        """Nothing is written."""
        return 0

    def metrics(self, split: str, **event: Any) -> None:
        """Nothing is written."""

    def show(self, kind: str, *arguments: Any, **options: Any) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is open."""
