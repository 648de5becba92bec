"""What a run of ten thousand, one million, ten million examples costs beside the model's steps.

    python scripts/bench_scale.py                     # about four minutes

The examples are simulated: grey images of 8×8 pixels in memory, ten classes. Each size has a
process of its own, with one thread, in which the runner trains simple_cnn with batch 64: all of an
epoch's start and end, and some of its steps. Printed are

- the time of an epoch's plan by each of some samplers and miners, and of the store at its end;
- the time from a plan to the first batch, and of a step: loader, update, metrics, store;
- the part of an epoch that plan and store take, an epoch being N / 64 of these steps;
- the bytes for each example of what a run holds, and what the process was measured to hold.

Medians, with the lowest and the highest.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from figures import spread
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor

from trainer.__main__ import CONF, register
from trainer.cli.execute import make_run
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
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.memory import keep_freed_memory
from trainer.sampler import Sampler
from trainer.sampler.class_balanced import ClassBalanced
from trainer.sampler.repeated_augmentation import RepeatedAugmentation
from trainer.sampler.shuffle import Shuffle
from trainer.storage.run_folder import RunFolder
from trainer.training.fit import Fit
from trainer.training.planner import Planner
from trainer.training.reporter import Reporter

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
    """A data set of so many images, validated and tested on none."""
    pixels = torch.full((examples, 1, SIDE, SIDE), 100, dtype=torch.uint8)
    ids = torch.arange(examples)
    train = Split(Pixels(pixels), ids % CLASSES, ids)
    none = Split(train.images, train.labels, ids[:0])
    return Data(train, none, none, tuple("0123456789"), (0.4,), (0.1,))


def made(examples: int, folder: Path) -> Fit:
    """A run of the examples, about to begin."""
    register()
    overrides = ["device=cpu", "quiet=true", f"batch_size={BATCH}", "loader=memory"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", overrides), resolve=True)
    console = Console(quiet=True)
    run = make_run(config, RunFolder(folder), console, overrides, [str(CONF)])  # pyright: ignore
    run.data = simulated(examples)
    folder.mkdir()
    return assemble(
        run,
        run.folder,
        Reporter(Log(folder, console.warn), console, run.data, run.epochs),
        run.signals,
    )


def measured(examples: int, repeats: int) -> Result:
    """All figures of one size."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        fit = made(examples, Path(name) / "run")
        plan = fit.planner.plan(0)
        first = [milliseconds(lambda: next(fit.train_feed.batches(plan))) for _ in range(repeats)]
        steps = stepping(fit, plan)
        store = fit.step.meter.store
        flush = [milliseconds(lambda e=epoch: store.flush(e)) for epoch in range(repeats)]
        files = list(store.folder.glob("*.bin"))
        held = resident()
        miner = InfoBatch()
        miner.prepare(fit.data.train.labels)
        return {
            "examples": examples,
            "plans": {name: planning(fit, name, repeats) for name in PLANS},
            "first": first,
            "stream first": streaming(fit, plan, repeats),
            "steps": steps,
            "flush": flush,
            "bytes": {
                "images": SIDE * SIDE,
                "labels and ids": bytes_of(fit.data.train.labels, fit.data.train.ids) / examples,
                "plan": bytes_of(plan.ids, plan.shares, plan.weight, plan.count, plan.bounds)
                / examples,
                "store, on the device": bytes_of(*store.rows.values()) / examples,
                "store, on the disk, an epoch": sum(f.stat().st_size for f in files)
                / examples
                / repeats,
                "infobatch's history": bytes_of(miner.live, miner.frozen) / examples,
            },
            "resident": held,
        }


def planning(fit: Fit, name: str, repeats: int) -> list[float]:
    """Milliseconds of the plans of some epochs, with what the miner fixes before."""
    make_sampler, make_miner = PLANS[name]
    miner, old = make_miner(), fit.planner
    planner = Planner(old.split, make_sampler(), miner, 0, BATCH, EPOCHS, warn=print)
    miner.prepare(old.split.labels)
    if hasattr(miner, "live"):
        miner.live = torch.rand(len(old.split))  # pyright: ignore
    return [milliseconds(lambda e=e: planned(planner, e)) for e in range(repeats + 1)][1:]


def planned(planner: Planner, epoch: int) -> Plan:
    """The plan of an epoch; a scan by the model is not in it, as it is the model's time."""
    planner.refresh(epoch, lambda ids: ids.float())
    return planner.plan(epoch)


def stepping(fit: Fit, plan: Plan) -> list[float]:
    """Milliseconds a step, block by block, after one to warm up: loader, update, metrics, store."""
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
    """Milliseconds from a plan to the first batch of loader=stream, its workers running."""
    feed = Stream(workers=1).open(fit.data.train, torch.device("cpu"))
    taken = [milliseconds(lambda: next(feed.batches(plan))) for _ in range(repeats + 1)]
    return taken[1:]


def bytes_of(*tensors: Tensor) -> int:
    """What tensors hold in memory; a view that repeats a number holds one."""
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def resident() -> int:
    """Bytes of memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def milliseconds(call: Callable[[], object]) -> float:
    """Wall clock of a call."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def table(head: str, results: list[Result], rows: dict[str, Callable[[Result], str]]) -> None:
    """A column for each size."""
    heads = [f"{r['examples']:,}" for r in results]
    print(f"\n| {head} | " + " | ".join(heads) + " |\n| --- |" + " --- |" * len(heads))
    for name, cell in rows.items():
        print(f"| {name} | " + " | ".join(map(cell, results)) + " |")


def epoch_of(result: Result) -> float:
    """Milliseconds of the steps of an epoch."""
    return result["examples"] / BATCH * statistics.median(result["steps"])


def share(result: Result, plan: str) -> float:
    """The part of an epoch that a plan and the store's end of it take."""
    taken = statistics.median(result["plans"][plan]) + statistics.median(result["flush"])
    return taken / (epoch_of(result) + taken)


def show(results: list[Result]) -> None:
    """All tables."""
    times: dict[str, Callable[[Result], str]] = {
        f"plan, {name}": lambda r, n=name: spread(r["plans"][n], ",.1f") for name in PLANS
    }
    times["store, at an epoch's end"] = lambda r: spread(r["flush"], ",.1f")
    times["to the first batch, memory"] = lambda r: spread(r["first"], ",.2f")
    times["to the first batch, stream"] = lambda r: spread(r["stream first"], ",.2f")
    times["a step"] = lambda r: spread(r["steps"], ".2f")
    table("milliseconds", results, times)
    shares = {name: lambda r, n=name: f"{share(r, n):.2%}" for name in PLANS}
    table(f"plan and store, part of an epoch (goal: under {GOAL:.0%})", results, shares)
    held = {n: lambda r, n=n: f"{r['bytes'][n]:.1f}" for n in results[0]["bytes"]}
    table("bytes for each example", results, held)
    small, large = results[0], results[-1]
    more = large["examples"] - small["examples"]
    if more:
        grown = (large["resident"] - small["resident"]) / more
        counted = [v for n, v in large["bytes"].items() if "disk" not in n and "batch" not in n]
        print(f"\nthe process grows by {grown:.0f} bytes for each example, images among them; the")
        print(f"parts above that it holds make {sum(counted):.0f}")
        steps = statistics.median(large["steps"]) / statistics.median(small["steps"])
        print(f"a step takes {steps:.2f} times as long")


def main() -> None:
    """One process for each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measured(options.one, options.repeats)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python")
    print(f"{platform.python_version()}, torch {torch.__version__}; one thread")
    print(f"simple_cnn of {SIDE}×{SIDE}, batch {BATCH}; {options.repeats} repeats")
    results = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--repeats", str(options.repeats)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    show(results)


if __name__ == "__main__":
    main()
