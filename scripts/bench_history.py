"""What the difficulty store costs.

    python scripts/bench_history.py --root ../shared/data          # about four minutes

1. Training with the store and with one that keeps nothing: MNIST, simple_cnn, batch 64, one
   thread, in one process. Blocks of 25 steps, each with a flush (a run has one in 50 steps),
   alternate; two neighbours make a pair, so that what the machine does meanwhile meets both. Wall
   clock and processor time: the latter is deaf to other jobs. The cost is the median over the
   pairs, with the interval of order statistics that holds the true median 95 times in 100; beside
   it the share of the time that is spent inside the store.
2. A store of ImageNet's size, 1,281,167 examples and 90 epochs: bytes, time of what is done at each
   flush and at an epoch's end, memory, and the time to read it.
"""

import argparse
import json
import math
import platform
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from figures import quartiles
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from trainer import history
from trainer.__main__ import CONF, register
from trainer.cli.execute import make_run
from trainer.core.duration import Clock
from trainer.core.seed import StepId
from trainer.history.store import DifficultyStore
from trainer.report.console import Console
from trainer.run.run import Run
from trainer.storage.run_folder import RunFolder
from trainer.task.classification import Classification

BLOCK = 25
BATCHES = 50  # between two flushes of a run
IMAGENET, EPOCHS, WRITTEN = 1_281_167, 90, 5
CPU = torch.device("cpu")


class NullStore(DifficultyStore):
    """Keeps nothing."""

    def add(self, ids: torch.Tensor, records: dict[str, torch.Tensor]) -> None:
        """Nothing."""


class TimedStore(DifficultyStore):
    """Keeps the seconds that it takes, too."""

    seconds = 0.0

    def add(self, ids: torch.Tensor, records: dict[str, torch.Tensor]) -> None:
        """Record, by the clock."""
        began = time.perf_counter()
        super().add(ids, records)
        self.seconds += time.perf_counter() - began


def mnist_run(root: str, folder: Path) -> Run:
    """The parts of the run that is measured."""
    register()
    overrides = ["dataset=mnist", f"dataset.root={root}", "model=simple_cnn", "batch_size=64"]
    overrides += ["device=cpu", "quiet=true"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", overrides), resolve=True)
    console = Console(quiet=True)
    return make_run(config, RunFolder(folder), console, overrides, [str(CONF)])  # pyright: ignore


class Trainer:
    """Steps of one run, whose store can be exchanged."""

    def __init__(self, run: Run) -> None:
        full = run.full_steps
        self.step = run.assemble_step(Clock(full, run.config["epochs"] * full)).step
        self.plan = run.planner.plan(0)
        self.bounds = self.plan.bounds.tolist()
        self.feed = run.loader.open(run.data.train, run.device)
        self.steps = 0

    def block(self, store: DifficultyStore) -> tuple[float, float]:
        """Wall and processor seconds of some steps and a flush."""
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
    """With and without the store, block by block, the first of each two by turns."""
    trainer = Trainer(run)
    own = trainer.step.meter.store
    about = own.folder, own.size, Classification.fields, CPU
    kept = TimedStore(*about)
    stores = [kept, NullStore(*about)]
    trainer.block(kept)
    kept.seconds = 0.0
    seconds = np.zeros((2, pairs, 2))  # store or none, pair, wall or processor
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            seconds[which, pair] = trainer.block(stores[which])
    for clock, name in enumerate(("wall clock", "processor")):
        with_, without = seconds[:, :, clock]
        low, middle, high = (f"{v:+.2f}" for v in median_interval((with_ / without - 1) * 100))
        print(f"{name:15} {quartiles(with_, '.3f')} s per {BLOCK} steps with the store,")
        print(f"{'':15} {quartiles(without, '.3f')} without: {middle} %, 95 %: {low} to {high}")
    share = kept.seconds / seconds[0, :, 0].sum()
    print(f"inside add()    {share:.3%} of the time with the store")
    end = timed(lambda: kept.flush(0), 9)
    full = run.full_steps
    epoch = np.median(seconds[1, :, 1]) * full / BLOCK
    print(f"epoch's end     {quartiles(end, '.1f')} ms, after {epoch:.0f} s of {full} steps")


def parts(run: Run) -> None:
    """What a flush of 50 batches is made of."""
    number = BATCHES * 64
    store = DifficultyStore(run.folder.path / "parts", 60_000, Classification.fields, CPU)
    ids = torch.randperm(60_000)[:number]
    outputs, labels = torch.randn(number, 10), torch.randint(0, 10, (number,))
    records = {"loss": outputs[:, 0], **run.task.records(outputs, labels)}
    of_metrics = timed(lambda: run.task.training_records(outputs, labels), 99)
    of_store = timed(lambda: store.add(ids, records), 99)
    print(f"records         {quartiles(of_metrics, '.2f')} ms per {BATCHES}; metrics need them")
    print(f"store.add       {quartiles(of_store, '.2f')} ms per {BATCHES} batches")


def large(folder: Path) -> None:
    """A store of ImageNet's size, of which some epochs are really written."""
    path = folder / "examples"
    store = DifficultyStore(path, IMAGENET, Classification.fields, CPU)
    ids = torch.arange(IMAGENET)
    store.describe(ids=ids, labels=ids % 1000)
    held = sum(row.nbytes for row in store.rows.values())
    adds, ends = [], []
    for epoch in range(WRITTEN):
        for chunk in torch.randperm(IMAGENET).split(BATCHES * 256):
            values = torch.rand(len(chunk))
            records = dict.fromkeys(("loss", *Classification.fields), values)
            adds.append(timed(lambda c=chunk, r=records: store.add(c, r), 1)[0])
        ends.append(timed(lambda e=epoch: store.flush(e), 1)[0])
    files = [file for file in path.iterdir() if file.suffix == ".bin"]
    written = sum(file.stat().st_size for file in files)
    record = written / WRITTEN / IMAGENET
    print(f"record          {record:.0f} bytes in {len(files)} files")
    print(f"disk            {record * IMAGENET * EPOCHS / 1e9:.2f} GB for {EPOCHS} epochs")
    print(f"written         {written / 1e6:.1f} MB in {WRITTEN} epochs")
    print(f"held            {held / 1e6:.1f} MB on the device")
    print(f"store.add       {quartiles(adds, '.2f')} ms per {BATCHES} batches of 256")
    print(f"epoch's end     {quartiles(ends, '.0f')} ms")
    for file in files:  # the other epochs are holes, which read as zeros
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // WRITTEN * EPOCHS)
    read = history.open(folder)
    for name in ("data_map", "forgetting", "aum", "suspects"):
        tracemalloc.start()
        seconds = timed(getattr(read, name), 1)[0] / 1e3
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"{name:15} {seconds:.1f} s over {read.epochs} epochs, {peak:.0f} MB at the peak")


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median between the order statistics that are its 95 % interval (binomial, p = 1/2)."""
    ranked, n = np.sort(values), len(values)
    reach = 0.98 * math.sqrt(n)  # 1.96 deviations of the number of values under the median
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach)
    return ranked[max(low, 0)], float(np.median(ranked)), ranked[min(high, n - 1)]


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="../shared/data", help="holds MNIST/raw")
    parser.add_argument("--pairs", type=int, default=60)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    about = {
        "machine": f"{platform.machine()}, {platform.platform(terse=True)}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    print(json.dumps(about))
    print("figures are medians [quartiles]\n\nMNIST, simple_cnn, batch 64")
    with tempfile.TemporaryDirectory() as folder:
        run = mnist_run(settings.root, Path(folder))
        training(run, settings.pairs)
        parts(run)
        print(f"\n{IMAGENET:,} examples")
        large(Path(folder) / "large")


if __name__ == "__main__":
    main()
