"""What safety costs where nothing goes wrong: saving, and the guard of each update.

    python scripts/bench_checkpoint.py                     # a minute

1. Saving a state of 45 MB, a model and Adam's moments: written, hashed, synced, renamed; beside
   `torch.save` of the same into one file, which does no more. And reading it back, verified.
2. The guard in a train step of simple_cnn and of ResNet-20 on 28×28 and 32×32 images, batch 64, one
   thread: seconds inside `start` (buffers kept), `gradients` (the norm) and `update` (less the
   optimizer's own step), as a share of the whole step.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from figures import spread
from torch import nn

from trainer.model.resnet_cifar import ResnetCifar
from trainer.model.simple_cnn import SimpleCnn
from trainer.storage import checkpoint
from trainer.training.nonfinite import NonFiniteGuard

MEGABYTES = 45
GOALS = {"save": 0.3, "guard": 0.01}


class Stopwatch:
    """Seconds spent inside some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, by the clock."""

        def wrapped(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - began

        return wrapped


def saving(folder: Path, repeats: int) -> None:
    """Save, save plainly, and load, in turn."""
    weights = MEGABYTES * 10**6 // 4 // 3
    model = {"weight": torch.randn(weights)}
    state = {"optimizer": {"exp_avg": torch.randn(weights), "exp_avg_sq": torch.randn(weights)}}

    def plainly() -> None:
        torch.save({"model": model, **state}, folder / "plain.pt")

    calls: dict[str, Callable[[], Any]] = {
        "checkpoint.save": lambda: checkpoint.save(folder / "checkpoints", 1, model, state, {}),
        "torch.save, one file": plainly,
        "checkpoint.load": lambda: checkpoint.load(folder / "checkpoints" / "step-1"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            watch = Stopwatch()
            watch.timed(call)()
            seconds[name].append(watch.seconds)
    print(f"### A state of {MEGABYTES} MB, seconds\n\n| | |\n| --- | --- |")
    for name, values in seconds.items():
        print(f"| `{name}` | {spread(values[1:], '.3f')} |")
    print(f"\ngoal: saving in at most {GOALS['save']} s")


def guarding(name: str, model: nn.Module, shape: tuple[int, ...], repeats: int, steps: int) -> None:
    """The share of a step that is the guard's."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    guard = NonFiniteGuard(optimizer, list(model.buffers()))
    images, labels = torch.randn(64, *shape), torch.randint(0, 10, (64,))
    shares, milliseconds = [], []
    for _ in range(repeats + 1):
        inside, own, whole = Stopwatch(), Stopwatch(), Stopwatch()
        start, gradients, update = map(inside.timed, (guard.start, guard.gradients, guard.update))
        optimizer.step = own.timed(type(optimizer).step.__get__(optimizer))

        def step(start: Any = start, gradients: Any = gradients, update: Any = update) -> None:
            start()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            norm, _ = gradients()
            update(loss.detach(), norm, torch.ones(()), 0)

        for _ in range(steps):
            whole.timed(step)()
        shares.append(100 * (inside.seconds - own.seconds) / whole.seconds)
        milliseconds.append(1e3 * whole.seconds / steps)
    print(f"| {name} | {spread(milliseconds[1:], '.1f')} | {spread(shares[1:], '.2f')} |")


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{platform.machine()}, one thread, Python {platform.python_version()}, torch", end=" ")
    print(f"{torch.__version__}; {options.repeats} repeats: median (lowest to highest)\n")
    with tempfile.TemporaryDirectory() as folder:
        saving(Path(folder), options.repeats)
    print("\n### The guard\n\n| | ms a step | guard, % of it |\n| --- | --- | --- |")
    cnn = SimpleCnn(shape=(1, 28, 28), outputs=10)
    guarding("`simple_cnn`", cnn, (1, 28, 28), options.repeats, options.steps)
    resnet = ResnetCifar(shape=(3, 32, 32), outputs=10)
    guarding("`resnet_cifar`", resnet, (3, 32, 32), options.repeats, options.steps)
    print(f"\ngoal: at most {100 * GOALS['guard']:.0f} %")


if __name__ == "__main__":
    main()
