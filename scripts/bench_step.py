"""What each part of a train step costs: how much less time an epoch takes without it.

    python scripts/bench_step.py --root ../shared/data          # about five minutes

`mlp` on MNIST, Adam, batch 64, one thread: a step so short that what the runner adds shows. One
process trains an epoch with everything, one by the bare loop, and one without each part, in turns.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from loop_rivals import IMAGES, Bare, Trainer
from race import machine, parser, quartiles, row, table, turns
from rivals import Rival, Setting
from torch import Tensor

from trainer.training.fit import Fit


def nothing(*_: object, **__: object) -> None:
    """Stand in for what is taken away."""


def parts(fit: Fit) -> dict[str, list[tuple[object, str, Any]]]:
    """Name the parts of a step, each with what stands in for its methods when it is away."""
    norm, rate = torch.zeros(()), fit.learning_rate.base

    def update(*_: object) -> bool:
        fit.optimizer.step()
        return True

    def mean(_: Tensor, losses: Tensor, *__: object) -> Tensor:
        loss = losses.mean()
        loss.backward()
        return loss.detach()

    return {
        "finite checks and the gradient's norm": [
            (fit.guard, "gradients", lambda: (norm, [])),
            (fit.guard, "update", update),
        ],
        "metrics and difficulty store": [(fit.meter, "add", nothing)],
        "of these, the store": [(fit.meter, "record", nothing)],
        "weights and counts of rows, for miners and mixers": [
            (fit.step, "count", lambda batch: batch.count[0]),
            (fit.step, "backward", mean),
        ],
        "learning rate": [(fit.learning_rate, "apply", lambda *_: rate)],
        "seed of the step, for dropout": [(fit.step, "seed", nothing)],
        "log, checkpoint, signal, progress bar": [(fit, "after_step", nothing)],
    }


@contextmanager
def without(stand_ins: list[tuple[object, str, Any]]) -> Iterator[None]:
    """Replace methods of the run's parts for a while."""
    with ExitStack() as stack:
        for owner, name, value in stand_ins:
            stack.enter_context(patch.object(owner, name, value))
        yield


def step_time(rival: Rival, stand_ins: list[tuple[object, str, Any]]) -> float:
    """Train an epoch without some parts; return the microseconds of a step."""
    with without(stand_ins):
        return rival.setting.batch_size / rival.speed() * 1e6


def main() -> None:
    """Print the time of a step, and what its parts take of it."""
    arguments = parser(__doc__, repeats=30)
    arguments.add_argument("--root", default="../shared/data", help="folder of MNIST/raw")
    options = arguments.parse_args()
    print(f"{machine('torch')}; 1 thread, {options.repeats} repeats")
    with TemporaryDirectory() as folder:
        setting = Setting(options.root, IMAGES["mlp"], 64, "mlp")
        bare = Bare(setting, Path(folder))
        trainer = Trainer(setting, Path(folder))
        every: dict[str, Callable[[], float]] = {
            "the bare loop": partial(step_time, bare, []),
            "the trainer": partial(step_time, trainer, []),
        }
        away = {name: partial(step_time, trainer, p) for name, p in parts(trainer.fit).items()}
        times = turns(every | away, options.repeats, warm_up=2)
    table(["a step", "µs: median [quartiles]"])
    for name in every:
        row(name, quartiles(times[name], ".0f"))
    for name in away:
        pairs = zip(times["the trainer"], times[name], strict=True)
        row(name, quartiles([own - less for own, less in pairs], ".0f"))


if __name__ == "__main__":
    main()
