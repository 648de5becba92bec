"""The cost of ten thousand, one million and ten million examples, against the model's steps.

    python scripts/bench_scale.py                     # about four minutes

The examples are simulated: grey images of 8×8 pixels in memory, ten classes. Each size has a
process of its own, with one thread, in which the runner trains simple_cnn with batch 64: all of an
epoch's start and end, and some of its steps. It prints

- the time of an epoch's plan for some samplers and miners, and of the store at the epoch's end;
- the time from a plan to the first batch, and of a step: loader, update, metrics, store;
- the share of an epoch that plan and store take, an epoch being N / 64 of these steps;
- the bytes per example that a run allocates, and by how much the process actually grows.

Medians, with the lowest and the highest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from race import machine, milliseconds, parser, spread, table
from rivals import fit_of, make_run
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.dataset import Data, Split
from trainer.dataset.base import Pixels
from trainer.loader.stream import Stream
from trainer.mining import Miner
from trainer.mining.hard_example import HardExample
from trainer.mining.importance import Importance
from trainer.mining.infobatch import InfoBatch
from trainer.mining.self_paced import SelfPaced
from trainer.run.memory import keep_freed_memory
from trainer.sampler import Sampler
from trainer.sampler.class_balanced import ClassBalanced
from trainer.sampler.repeated_augmentation import RepeatedAugmentation
from trainer.sampler.shuffle import Shuffle
from trainer.training.fit import Fit
from trainer.training.planner import Planner

SIZES = (10_000, 1_000_000, 10_000_000)
SIDE, CLASSES, BATCH, EPOCHS = 8, 10, 64, 30
STEPS, BLOCK = 300, 50
GOAL = 0.01  # of an epoch, for plan and store
PLANS: dict[str, tuple[Callable[[], Sampler], Callable[[], Miner]]] = {
    "shuffle": (Shuffle, Miner),
    "class_balanced": (ClassBalanced, Miner),
    "repeated_augmentation": (RepeatedAugmentation, Miner),
    "importance": (Shuffle, Importance),
    "infobatch": (Shuffle, InfoBatch),
    "self_paced": (Shuffle, SelfPaced),
    "hard_example": (Shuffle, HardExample),
}
Result = dict[str, Any]


def simulated(examples: int) -> Data:
    """Build a data set of grey images, with nothing to validate or test on."""
    pixels = torch.full((examples, 1, SIDE, SIDE), 100, dtype=torch.uint8)
    ids = torch.arange(examples)
    train = Split(Pixels(pixels), ids % CLASSES, ids)
    none = Split(train.images, train.labels, ids[:0])
    return Data(train, none, none, tuple("0123456789"), (0.4,), (0.1,))


def simulated_fit(examples: int, folder: Path) -> Fit:
    """Build a run of the simulated examples, before its first epoch."""
    run = make_run(folder, f"batch_size={BATCH}", "loader=memory")
    run.data = simulated(examples)
    return fit_of(run)


def measured(examples: int, repeats: int) -> Result:
    """Measure every figure of one size."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        fit = simulated_fit(examples, Path(name) / "run")
        plan = fit.planner.plan(0)
        first = [milliseconds(lambda: next(fit.train_feed.batches(plan))) for _ in range(repeats)]
        steps = stepping(fit, plan)
        flush = [milliseconds(partial(fit.step.meter.store.flush, e)) for e in range(repeats)]
        resident = resident_bytes()
        return {
            "examples": examples,
            "plans": {name: planning(fit, name, repeats) for name in PLANS},
            "first": first,
            "stream first": streaming(fit, plan, repeats),
            "steps": steps,
            "flush": flush,
            "bytes": allocated(fit, plan, repeats),
            "resident": resident,
        }


def allocated(fit: Fit, plan: Plan, epochs: int) -> dict[str, float]:
    """Count the bytes per example of what a run keeps, the store having written some epochs."""
    split, store, miner = fit.data.train, fit.step.meter.store, InfoBatch()
    miner.prepare(split.labels)
    written = sum(file.stat().st_size for file in store.folder.glob("*.bin"))
    sizes: dict[str, float] = {
        "labels and ids": bytes_of(split.labels, split.ids),
        "plan": bytes_of(plan.ids, plan.shares, plan.weight, plan.count, plan.bounds),
        "store, on the device": bytes_of(*store.rows.values()),
        "store, on disk, per epoch": written / epochs,
        "InfoBatch's scores": bytes_of(miner.live, miner.frozen),
    }
    return {"images": float(SIDE * SIDE)} | {n: size / len(split) for n, size in sizes.items()}


def planning(fit: Fit, name: str, repeats: int) -> list[float]:
    """Plan `repeats` epochs, each after the miner's refresh; return the milliseconds of each."""
    make_sampler, make_miner = PLANS[name]
    miner, old = make_miner(), fit.planner
    planner = Planner(old.split, make_sampler(), miner, 0, BATCH, EPOCHS, warn=print)
    miner.prepare(old.split.labels)
    if hasattr(miner, "live"):
        miner.live = torch.rand(len(old.split))  # pyright: ignore
    return [milliseconds(lambda e=e: planned(planner, e)) for e in range(repeats + 1)][1:]


def planned(planner: Planner, epoch: int) -> Plan:
    """Plan an epoch; the model's scoring pass is left out, as it is the model's time."""
    planner.refresh(epoch, lambda ids: ids.float())
    return planner.plan(epoch)


def stepping(fit: Fit, plan: Plan) -> list[float]:
    """Return ms per step of each block after the first: loader, update, metrics, store."""
    bounds, taken = plan.bounds.tolist(), []
    batches = fit.train_feed.batches(plan)
    for first in range(0, min(STEPS + BLOCK, plan.steps - BLOCK), BLOCK):
        began = time.perf_counter()
        for i, batch in enumerate(islice(batches, BLOCK), first):
            fit.step(batch, StepId(0, 0, i), bounds[i])
        fit.step.meter.flush()
        taken.append((time.perf_counter() - began) / BLOCK * 1e3)
    return taken[1:]


def streaming(fit: Fit, plan: Plan, repeats: int) -> list[float]:
    """Return milliseconds from a plan to the first batch of loader=stream, workers running."""
    feed = Stream(workers=1).open(fit.data.train, torch.device("cpu"))
    taken = [milliseconds(lambda: next(feed.batches(plan))) for _ in range(repeats + 1)]
    return taken[1:]


def bytes_of(*tensors: Tensor) -> int:
    """Count the bytes of tensors' storages; an expanded view counts once."""
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def resident_bytes() -> int:
    """Return the size of the process's resident set in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def columns(head: str, results: list[Result], rows: dict[str, Callable[[Result], str]]) -> None:
    """Print a table with a column for each size."""
    heads = [f"{r['examples']:,}" for r in results]
    table([head, *heads], [(name, *map(cell, results)) for name, cell in rows.items()])


def epoch_of(result: Result) -> float:
    """Return the milliseconds of an epoch's steps."""
    return result["examples"] / BATCH * statistics.median(result["steps"])


def share(result: Result, plan: str) -> float:
    """Return the share of an epoch that its plan and the store at its end take."""
    taken = statistics.median(result["plans"][plan]) + statistics.median(result["flush"])
    return taken / (epoch_of(result) + taken)


def show(results: list[Result]) -> None:
    """Print every table."""
    times: dict[str, Callable[[Result], str]] = {
        f"plan, {name}": lambda r, n=name: spread(r["plans"][n], ",.1f") for name in PLANS
    }
    times["store, at an epoch's end"] = lambda r: spread(r["flush"], ",.1f")
    times["to the first batch, memory"] = lambda r: spread(r["first"], ",.2f")
    times["to the first batch, stream"] = lambda r: spread(r["stream first"], ",.2f")
    times["a step"] = lambda r: spread(r["steps"], ".2f")
    columns("milliseconds", results, times)
    shares = {name: lambda r, n=name: f"{share(r, n):.2%}" for name in PLANS}
    columns(f"plan and store, share of an epoch (goal: under {GOAL:.0%})", results, shares)
    sizes = {n: lambda r, n=n: f"{r['bytes'][n]:.1f}" for n in results[0]["bytes"]}
    columns("bytes per example", results, sizes)
    small, large = results[0], results[-1]
    more = large["examples"] - small["examples"]
    if more:
        grown = (large["resident"] - small["resident"]) / more
        counted = [v for n, v in large["bytes"].items() if "disk" not in n and "Batch" not in n]
        print(
            f"\nthe process grows by {grown:.0f} bytes per example, images included; those of its"
        )
        print(f"parts in the table come to {sum(counted):.0f}")
        steps = statistics.median(large["steps"]) / statistics.median(small["steps"])
        print(f"a step takes {steps:.2f} times as long")


def main() -> None:
    """Measure each size in a process of its own."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    arguments.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.one is not None:
        print(json.dumps(measured(options.one, options.repeats)))
        return
    print(f"{machine('torch')}; one thread, {options.repeats} repeats: median (lowest to highest)")
    print(f"simple_cnn of {SIDE}×{SIDE}, batch {BATCH}")
    results = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--repeats", str(options.repeats)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    show(results)


if __name__ == "__main__":
    main()
