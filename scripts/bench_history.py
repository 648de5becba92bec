"""The cost of the difficulty store, in training and at the size of ImageNet.

    python scripts/bench_history.py --root ../shared/data          # about four minutes

1. Training with the store and with one that keeps nothing: MNIST, simple_cnn, batch 64, one
   thread, in one process. Blocks of 25 steps, each with a flush (a run has one in 50 steps),
   alternate; two neighbours make a pair, so that a drift of the machine affects both. Wall clock
   and processor time; the latter ignores other jobs. The cost is the median over the pairs, with
   the interval of order statistics that contains the true median 95 times in 100; beside it, the
   share of the time that is spent inside the store.
2. A store of ImageNet's size, 1,281,167 examples and 90 epochs: bytes, time of each flush and of an
   epoch's end, memory, and the time to read it.
"""

import math
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from race import machine, milliseconds, parser, quartiles, table, turns
from rivals import make_run

from trainer import history
from trainer.core.duration import Clock
from trainer.core.seed import StepId
from trainer.history.store import DifficultyStore
from trainer.run.run import Run
from trainer.task.classification import Classification

BLOCK = 25
BATCHES = 50  # between two flushes of a run
IMAGENET, EPOCHS, WRITTEN = 1_281_167, 90, 5
CPU = torch.device("cpu")


class NullStore(DifficultyStore):
    """A store that keeps nothing."""

    def add(self, ids: torch.Tensor, records: dict[str, torch.Tensor]) -> None:
        """Drop the records."""


class TimedStore(DifficultyStore):
    """A store that counts the seconds spent adding."""

    seconds = 0.0

    def add(self, ids: torch.Tensor, records: dict[str, torch.Tensor]) -> None:
        """Add records, and their time to `seconds`."""
        began = time.perf_counter()
        super().add(ids, records)
        self.seconds += time.perf_counter() - began


class Blocks:
    """Takes steps of one run, with the store that each call names."""

    def __init__(self, run: Run) -> None:
        full = run.full_steps
        self.step = run.assemble_step(Clock(full, run.config["epochs"] * full)).step
        self.plan = run.planner.plan(0)
        self.bounds = self.plan.bounds.tolist()
        self.feed = run.loader.open(run.data.train, run.device)
        self.steps = 0

    def block(self, store: DifficultyStore) -> tuple[float, float]:
        """Take BLOCK steps and a flush; return wall and processor seconds."""
        self.step.meter.store = store
        start = self.steps % (self.plan.steps - BLOCK)
        batches = list(islice(self.feed.batches(self.plan, start), BLOCK))
        wall, processor = time.perf_counter(), time.process_time()
        for i, batch in enumerate(batches):
            step_id = StepId(0, 0, self.steps)
            self.step(batch, step_id, self.bounds[start + i])
            self.steps += 1
        self.step.meter.flush()
        return time.perf_counter() - wall, time.process_time() - processor


def training(run: Run, pairs: int) -> None:
    """Train blocks with and without the store; which of the two comes first alternates."""
    blocks = Blocks(run)
    own = blocks.step.meter.store
    arguments = own.folder, own.size, Classification.fields, CPU
    store, null = TimedStore(*arguments), NullStore(*arguments)
    blocks.block(store)  # to warm up
    store.seconds = 0.0
    calls = {"without": partial(blocks.block, null), "with": partial(blocks.block, store)}
    taken = {name: np.array(v) for name, v in turns(calls, pairs, warm_up=0, swap=True).items()}
    rows = []
    for clock, name in enumerate(("wall clock", "processor")):
        with_, without = taken["with"][:, clock], taken["without"][:, clock]
        low, middle, high = (f"{v:+.2f}" for v in median_interval((with_ / without - 1) * 100))
        cost = f"{middle} ({low} to {high})"
        rows.append((name, quartiles(with_, ".3f"), quartiles(without, ".3f"), cost))
    heads = ["clock", "with the store, s", "without, s", "cost, % (95 % interval)"]
    table([f"{BLOCK} steps, {heads[0]}", *heads[1:]], rows)
    share = store.seconds / taken["with"][:, 0].sum()
    print(f"\ninside add(): {share:.3%} of the time with the store")
    end = timed(lambda: store.flush(0), 9)
    full = run.full_steps
    epoch = np.median(taken["without"][:, 1]) * full / BLOCK
    print(f"epoch's end: {quartiles(end, '.1f')} ms, after {epoch:.0f} s of {full} steps")


def parts(run: Run) -> None:
    """Time the parts of a flush of 50 batches."""
    number = BATCHES * 64
    store = DifficultyStore(run.folder.path / "parts", 60_000, Classification.fields, CPU)
    ids = torch.randperm(60_000)[:number]
    outputs, labels = torch.randn(number, 10), torch.randint(0, 10, (number,))
    records = {"loss": outputs[:, 0], **run.task.records(outputs, labels)}
    of_metrics = timed(lambda: run.task.training_records(outputs, labels), 99)
    of_store = timed(lambda: store.add(ids, records), 99)
    print(f"records, which metrics need anyway: {quartiles(of_metrics, '.2f')} ms", end=" ")
    print(f"per {BATCHES} batches; store.add: {quartiles(of_store, '.2f')} ms")


def large(folder: Path) -> None:
    """Measure a store of ImageNet's size, of which only a few epochs are written."""
    path = folder / "examples"
    store = DifficultyStore(path, IMAGENET, Classification.fields, CPU)
    ids = torch.arange(IMAGENET)
    store.describe(ids=ids, labels=ids % 1000)
    on_device = sum(row.nbytes for row in store.rows.values())
    adds, ends = written(store)
    files = [file for file in path.iterdir() if file.suffix == ".bin"]
    size = sum(file.stat().st_size for file in files)
    record = size / WRITTEN / IMAGENET
    rows = [
        ("record", f"{record:.0f} bytes in {len(files)} files"),
        ("disk", f"{record * IMAGENET * EPOCHS / 1e9:.2f} GB for {EPOCHS} epochs"),
        ("written", f"{size / 1e6:.1f} MB in {WRITTEN} epochs"),
        ("memory on the device", f"{on_device / 1e6:.1f} MB"),
        ("store.add", f"{quartiles(adds, '.2f')} ms per {BATCHES} batches of 256"),
        ("epoch's end", f"{quartiles(ends, '.0f')} ms"),
    ]
    for file in files:  # the other epochs are holes, which read as zeros
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // WRITTEN * EPOCHS)
    table([f"{IMAGENET:,} examples", ""], [*rows, *reading(folder)])


def written(store: DifficultyStore) -> tuple[list[float], list[float]]:
    """Write some epochs; return the milliseconds of each `add` and of each epoch's end."""
    adds, ends = [], []
    for epoch in range(WRITTEN):
        for chunk in torch.randperm(IMAGENET).split(BATCHES * 256):
            values = torch.rand(len(chunk))
            records = dict.fromkeys(("loss", *Classification.fields), values)
            adds.append(milliseconds(partial(store.add, chunk, records)))
        ends.append(milliseconds(partial(store.flush, epoch)))
    return adds, ends


def reading(folder: Path) -> list[tuple[str, str]]:
    """Time each analysis of a store and its peak memory; return rows of a table."""
    opened = history.open(folder)
    rows = []
    for name in ("data_map", "forgetting", "aum", "suspects"):
        tracemalloc.start()
        seconds = milliseconds(getattr(opened, name)) / 1e3
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        rows.append((name, f"{seconds:.1f} s over {opened.epochs} epochs, peak {peak:.0f} MB"))
    return rows


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return low, median, high: the order statistics of its 95 % interval (binomial, p = 1/2)."""
    ranked, n = np.sort(values), len(values)
    reach = 0.98 * math.sqrt(n)  # 1.96 deviations of the number of values under the median
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach)
    return ranked[max(low, 0)], float(np.median(ranked)), ranked[min(high, n - 1)]


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Make a call `times` times; return the milliseconds of each."""
    return [milliseconds(call) for _ in range(times)]


def main() -> None:
    """Run both parts."""
    arguments = parser(__doc__)
    arguments.add_argument("--root", default="../shared/data", help="folder of MNIST/raw")
    arguments.add_argument("--pairs", type=int, default=60)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    print(f"{machine('torch', 'numpy')}; one thread, medians [quartiles]")
    print("MNIST, simple_cnn, batch 64")
    mnist = ("dataset=mnist", f"dataset.root={options.root}", "model=simple_cnn", "batch_size=64")
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), *mnist)
        training(run, options.pairs)
        parts(run)
        large(Path(folder) / "large")


if __name__ == "__main__":
    main()
