"""What a run would do, without training: learning rate, inputs, class counts."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils import skip_init

from trainer.core.duration import Clock
from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.preview.inputs import write_counts, write_inputs
from trainer.optimizer.shared.groups import base_lr
from trainer.training.learning_rate import LearningRate

if TYPE_CHECKING:
    from pathlib import Path

    from torch.optim import Optimizer

    from trainer.report.console import Console
    from trainer.run.inputs import Inputs
    from trainer.schedule import Schedule
    from trainer.storage.run_folder import RunFolder
    from trainer.warmup import Warmup


class Preview(Job):
    """Shows the learning rate and, unless `steps` gives the length without data, the inputs.

    `steps` is the job's, otherwise the run's; without data an epoch is `steps / epochs`. Writes
    `lr.csv`, `lr.png`, `inputs.png` (augmented and mixed images, their shares in `inputs.csv`) and,
    for class labels, `classes.csv`.
    """

    def __init__(self, *, steps: int | None = None) -> None:
        if steps is not None:
            within("job.steps", steps, "[1, inf)")
        self.steps = steps

    def __call__(
        self,
        *,
        schedule: Schedule,
        warmup: Warmup,
        plain_optimizer: Callable[[nn.Module], Optimizer],
        inputs: Callable[[], Inputs],
        steps: int | None,
        most_epochs: int,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Preview the learning rate, then the data."""
        steps, epochs = self.steps or steps, most_epochs
        optimizer = plain_optimizer(skip_init(nn.Linear, 2, 2))
        curve = partial(rates_of, schedule, warmup, base_lr(optimizer), console)
        if steps is None:
            data = inputs()
            plan, full = data.planner.plan(0), data.full_steps
            own = full / plan.steps  # steps of a full epoch that one of the sampler's is worth
            times = [epoch * full + i * own for epoch in range(epochs) for i in range(plan.steps)]
            rates = curve(Clock(full, epochs * full), times)
            write_inputs(folder.path, data, plan)
            write_counts(folder.path, data.data, plan)
        else:
            rates = curve(Clock(steps / epochs, steps), range(steps))
        write_curve(folder.path, rates)
        console.say(f"preview       {folder.path}")
        return {"steps": len(rates), "lr_first": rates[0], "lr_last": rates[-1]}


def rates_of(
    schedule: Schedule,
    warmup: Warmup,
    base: float,
    console: Console,
    clock: Clock,
    times: Iterable[float],
) -> list[float]:
    """The learning rate at each of the `times`, which are steps of the schedule's clock."""
    rate = LearningRate(schedule, warmup, base, clock)
    if math.isinf(warmup.length):
        console.warn("the curve is the warmup's: the training error or warmup.steps ends it")
    elif schedule.needs_val:
        console.warn("the curve is flat: only the metrics of a run lower the rate")
    return [rate.lr(t) for t in times]


def write_curve(folder: Path, rates: list[float]) -> None:
    """`lr.csv`, a row for each step, and `lr.png`."""
    with (folder / "lr.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "lr"), *enumerate(rates)])
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="learning rate")
    axes.plot(rates)
    axes.grid(alpha=0.3)
    figure.savefig(folder / "lr.png", dpi=120)
