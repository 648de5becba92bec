"""The cost of safety when nothing goes wrong: saving, and the guard on each update.

    python scripts/bench_checkpoint.py                     # a minute

1. Saving a state of 45 MB, a model and Adam's moments: written, hashed, synced, renamed; against
   `torch.save` of the same into one file, which does none of that. And loading it, verified.
2. The guard in a training step of simple_cnn on 28×28 and of ResNet-20 on 32×32 images, batch 64,
   one thread: seconds inside `start` (buffers kept), `gradients` (the norm) and `update` (less the
   optimizer's own step), as a share of the whole step.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from race import machine, milliseconds, parser, row, spread, table, turns
from torch import nn

from trainer.model.resnet_cifar import ResnetCifar
from trainer.model.simple_cnn import SimpleCnn
from trainer.storage import checkpoint
from trainer.training.nonfinite import NonFiniteGuard

MEGABYTES = 45
GOALS = {"save": 0.3, "guard": 0.01}


class Stopwatch:
    """Adds up the seconds spent inside some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a call so that its time counts."""

        def wrapped(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - began

        return wrapped


def saving(folder: Path, repeats: int) -> None:
    """Time saving, plain saving and loading, in turn."""
    weights = MEGABYTES * 10**6 // 4 // 3
    model = {"weight": torch.randn(weights)}
    state = {"optimizer": {"exp_avg": torch.randn(weights), "exp_avg_sq": torch.randn(weights)}}
    plain = {"model": model, **state}
    calls: dict[str, Callable[[], Any]] = {
        "checkpoint.save": lambda: checkpoint.save(folder / "checkpoints", 1, model, state, {}),
        "torch.save, one file": lambda: torch.save(plain, folder / "plain.pt"),
        "checkpoint.load": lambda: checkpoint.load(folder / "checkpoints" / "step-1"),
    }
    timed = {name: lambda call=call: milliseconds(call) / 1e3 for name, call in calls.items()}
    rows = [(f"`{name}`", spread(v, ".3f")) for name, v in turns(timed, repeats).items()]
    table([f"a state of {MEGABYTES} MB", "seconds"], rows)
    print(f"\ngoal: saving in at most {GOALS['save']} s")


def guarding(name: str, model: nn.Module, shape: tuple[int, ...], repeats: int, steps: int) -> None:
    """Measure the guard's share of a step."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    guard = NonFiniteGuard(optimizer, list(model.buffers()))
    images, labels = torch.randn(64, *shape), torch.randint(0, 10, (64,))
    shares, times = [], []
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
        times.append(1e3 * whole.seconds / steps)
    row(name, spread(times[1:], ".1f"), spread(shares[1:], ".2f"))


def main() -> None:
    """Run both parts."""
    arguments = parser(__doc__, repeats=9)
    arguments.add_argument("--steps", type=int, default=20)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{machine('torch')}; one thread, {options.repeats} repeats: median (lowest to highest)")
    with tempfile.TemporaryDirectory() as folder:
        saving(Path(folder), options.repeats)
    table(["guard", "ms per step", "guard, % of it"])
    cnn = SimpleCnn(shape=(1, 28, 28), outputs=10)
    guarding("`simple_cnn`", cnn, (1, 28, 28), options.repeats, options.steps)
    resnet = ResnetCifar(shape=(3, 32, 32), outputs=10)
    guarding("`resnet_cifar`", resnet, (3, 32, 32), options.repeats, options.steps)
    print(f"\ngoal: at most {100 * GOALS['guard']:.0f} %")


if __name__ == "__main__":
    main()
