"""The parts of a run for several processes: all compute the same metrics, only rank 0 writes."""

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
    """Stops all processes at the same step when any of them receives a signal."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.agreed: int | None = None

    def agreed_signal(self) -> int | None:
        """Return a signal that any process received. A collective: all must call it together."""
        if self.agreed is None:
            self.agreed = self.world.highest(self.received or 0) or None
        return self.agreed

    def stopped_alone(self) -> bool:
        """Return False: all processes stop together."""
        return False

    def __exit__(self, *error: object) -> None:
        """Ignore signals from here on: torchrun sends some to the processes that end last."""
        super().__exit__(*error)
        for number in self.previous:
            signal.signal(number, signal.SIG_IGN)


class SharedEvaluator(Evaluator):
    """Splits the examples over the processes, padding so that each has the same number."""

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.world = world

    def values(
        self, feed: Feed, ids: Tensor, poll: Callable[[], None], compute: Values
    ) -> dict[str, Tensor]:
        """Return values [n, ...] of all examples `ids` [n] in order, in every process."""
        each = -(-len(ids) // self.world.size)
        ends = [min(each * rank, len(ids)) for rank in range(self.world.size + 1)]
        sizes = [b - a for a, b in pairwise(ends)]
        rank = self.world.rank
        own = ids[ends[rank] : ends[rank + 1]]
        padded = torch.cat([own, ids[:1].expand(each - len(own))])
        values = super().values(feed, padded, poll, compute)
        whole = self.world.gather_rows([value[: len(own)] for value in values.values()], sizes)
        return dict(zip(values, whole, strict=True))

    def __call__(
        self, feed: Feed, split: Split, *, poll: Callable[[], None] = lambda: None
    ) -> Evaluation:
        """Evaluate a split; every process returns rank 0's metrics, bit for bit."""
        evaluation = super().__call__(feed, split, poll=poll)
        return replace(evaluation, metrics=self.world.broadcast(evaluation.metrics))


class SharedStore(DifficultyStore):
    """Each process records its own rows; merging keeps the latest record of each example."""

    def __init__(self, world: World, *arguments: Any, **options: Any) -> None:
        self.world = world
        super().__init__(*arguments, **options)

    def clear(self) -> None:
        """Drop all records at the start of an epoch."""
        super().clear()
        self.seen = torch.full((self.size,), -1, device=self.device)  # the step of each record

    def note(self, batch: Batch, step: int) -> None:
        """Record the step at which the rows that are a single example were seen."""
        _, ids = batch.dominant()
        at = torch.where(batch.shares.amax(1) == 1, step, -1)
        self.seen.scatter_reduce_(0, ids, at, "amax")

    def merge(self) -> None:
        """Give every process the latest records; on equal steps those of the highest rank."""
        names, sizes = list(self.rows), [1] * self.world.size
        own = [self.seen, *self.rows.values()]
        seen, *rows = self.world.gather_rows([row[None] for row in own], sizes)
        ranks = torch.arange(len(seen), device=seen.device)[:, None]
        last = (seen * len(seen) + ranks).argmax(0)
        place = torch.arange(self.size, device=seen.device)
        self.rows = {n: row[last, place] for n, row in zip(names, rows, strict=True)}
        self.seen = seen.amax(0)

    def describe(self, **arrays: Tensor) -> None:
        """Write the arrays that stay the same over epochs; only rank 0 does."""
        if self.world.is_main:
            super().describe(**arrays)

    def flush(self, epoch: int) -> None:
        """Merge the epoch's records; rank 0 writes them."""
        self.merge()
        if self.world.is_main:
            super().flush(epoch)
        self.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the state with the records of all processes. A collective."""
        self.merge()
        return super().state_dict()


class SharedMeter(Meter):
    """Sums over this process's own rows, added over the processes when metrics are taken."""

    store: SharedStore

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.world = world

    def add(self, batch: Batch, outputs: Tensor, losses: Tensor, step: int) -> None:
        """Keep outputs and losses, and note the step: the store keeps the latest record."""
        super().add(batch, outputs, losses, step)
        self.store.note(batch, step)

    def take_interval(self) -> dict[str, float]:
        """Return the metrics of all processes since the last event. A collective."""
        self.interval = self.total(self.interval)
        return super().take_interval()

    def take_epoch(self) -> dict[str, float]:
        """Return the metrics of all processes over the epoch. A collective."""
        self.epoch = self.total(self.epoch)
        return super().take_epoch()

    def so_far(self) -> dict[str, float]:
        """Return the metrics of all processes since the epoch began. A collective."""
        own, self.epoch = self.epoch, self.total(self.epoch)
        metrics, self.epoch = super().so_far(), own
        return metrics

    def total(self, own: Sums) -> Sums:
        """Add the sums and counts of all processes. A collective."""
        added: Sums = {}
        for sums in self.world.gather_objects(own):
            for name, (total, number) in sums.items():
                sum_and_count = added.setdefault(name, [0.0, 0.0])
                sum_and_count[0] += total
                sum_and_count[1] += number
        return added

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of all processes. A collective."""
        return {"interval": self.total(self.interval), "epoch": self.total(self.epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums on rank 0 and start the other processes at zero."""
        super().load_state_dict(state if self.world.is_main else {"interval": {}, "epoch": {}})


class NoFolder(RunFolder):
    """The run folder of a process other than rank 0, which never writes to it."""

    @property
    def status(self) -> dict[str, Any]:
        """Return an empty status: only rank 0 reads the file."""
        return {}

    def claim(self, *, fresh: bool) -> None:
        """Do nothing: only rank 0 claims the folder."""

    def write_status(self, state: str, exit_code: int | None = None, error: str = "") -> None:
        """Do nothing: only rank 0 writes the status."""


class NoLog(Log):
    """The log of a process other than rank 0: it discards everything."""

    def __init__(self) -> None:
        """Create a log without opening a file."""

    def state_dict(self) -> int:
        """Return 0, the length of a log without events."""
        return 0

    def load_state_dict(self, offset: int) -> None:
        """Do nothing: there is no file to cut."""

    def metrics(self, split: str, **event: Any) -> None:
        """Discard the event, which rank 0 writes."""

    def show(self, kind: str, *arguments: Any, **options: Any) -> None:
        """Discard the picture or text, which rank 0 logs."""

    def close(self) -> None:
        """Do nothing: no file is open."""
