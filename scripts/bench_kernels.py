"""The kernels that a training step launches: the trainer's beside those of a bare loop.

    python scripts/bench_kernels.py                 # on a GPU; without one, on the tests' stand-in
    python scripts/bench_kernels.py --json kernels.json

A small step on a GPU takes as long as its launches, about 5 us each. The bare loop is that of
bench_loop.py: a gather, standardisation, the network, cross entropy, the fused Adam. On a GPU
torch's profiler counts kernels and copies; on the stand-in, which needs g++, and on the CPU it is
operations, where one may be several kernels. *Flush* is what turns the outputs of `log.every` steps
into metrics and records.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from race import machine, parser, table
from stand_in import gpus, on

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.training.fit import Fit

GOAL = 15  # kernels beyond the bare loop's
BATCH, WARM_UP = 64, 3
MODELS = {
    "mlp": ("model=mlp",),
    "simple_cnn": ("model=simple_cnn",),
    "resnet20": ("model=resnet_cifar", "model.depth=20"),
}


def training(fit: Fit) -> Callable[[], None]:
    """Return a function that fetches the next batch of a run and trains on it."""
    from trainer.core.seed import StepId

    plan = fit.planner.plan(0)
    batches, bounds, p = fit.train_feed.batches(plan), plan.bounds.tolist(), fit.progress

    def step() -> None:
        batch = next(batches)
        p.lr = fit.learning_rate.apply(fit.optimizer, float(p.step))
        fit.freeze(float(p.step))
        fit.step(batch, StepId(0, 0, p.step), bounds[p.step])
        p.step += 1

    return step


def bare(fit: Fit) -> Callable[[], None]:
    """Return the step of a bare loop that trains a copy of a run's network, on noise."""
    from copy import deepcopy

    import torch
    from loop_rivals import Bare

    loop, device = object.__new__(Bare), fit.step.forward.device
    shape = fit.data.shape
    loop.pixels = torch.zeros(BATCH, *shape, dtype=torch.uint8).to(device)
    loop.labels = torch.zeros(BATCH, dtype=torch.long).to(device)
    loop.model = deepcopy(fit.model)
    loop.optimizer = torch.optim.Adam(loop.model.parameters(), lr=1e-3, fused=True)
    ids = torch.arange(BATCH).to(device)
    return lambda: loop.step(ids)


def kernels(
    name: str, device: str, folder: Path, *, by_profiler: bool = False
) -> dict[str, Counter[str]]:
    """Count the kernels of a step of both loops, and of a flush, for a network on a device."""
    from kernels import dispatched, profiled
    from rivals import fit_of, make_run

    chosen = (f"device={device}", f"batch_size={BATCH}", *MODELS[name])
    run = make_run(folder / name, *chosen)
    fit = fit_of(run)
    calls = {"bare": bare(fit), "trainer": training(fit)}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    calls["flush"] = fit.meter.flush
    count = (lambda call: profiled(call)[0]) if by_profiler else partial(dispatched, device=device)
    found = {what: count(call) for what, call in calls.items()}
    run.close_log()
    return found


def measured(device: str) -> dict[str, dict[str, Counter[str]]]:
    """Count the kernels of every network on `cuda`, `cpu` or `stand-in`."""
    with on(device) as named, TemporaryDirectory() as folder:
        return {
            name: kernels(name, named, Path(folder), by_profiler=device == "cuda")
            for name in MODELS
        }


def rows(found: dict[str, dict[str, Counter[str]]]) -> list[tuple[Any, ...]]:
    """Return the table: name, bare, trainer, what is more, a flush."""
    totals = {name: {k: c.total() for k, c in counts.items()} for name, counts in found.items()}
    return [
        (f"`{name}`", t["bare"], t["trainer"], t["trainer"] - t["bare"], t["flush"])
        for name, t in totals.items()
    ]


def main() -> None:
    """Count, print the table, and write everything as JSON if asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--device", choices=["cuda", "cpu", "stand-in"])
    arguments.add_argument("--json", type=Path, help="file for every count, by operation")
    options = arguments.parse_args()
    device = options.device or ("cuda" if gpus() else "stand-in")
    found = measured(device)
    unit = "kernels and copies" if device == "cuda" else "operations"
    print(f"{machine('torch')}; {device}: {unit} of a step, batch {BATCH}, Adam")
    table(["model", "bare", "trainer", "more", "a flush"], rows(found))
    missed = [cells[0] for cells in rows(found) if cells[3] > GOAL]
    print(f"\ngoal: at most {GOAL} more, {'missed by ' + ', '.join(missed) if missed else 'met'}")
    if options.json:
        about = {"device": device, "unit": unit, "batch": BATCH, "machine": machine("torch")}
        versions = {name: version(name) for name in ("torch", "torchvision", "numpy")}
        options.json.write_text(
            json.dumps(about | {"versions": versions, "models": found}, indent=2)
        )


if __name__ == "__main__":
    main()
