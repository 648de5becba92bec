"""Preview of a run without training: learning rate, inputs, class counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.core.duration import Clock
from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.preview.inputs import write_counts, write_inputs
from trainer.optimizer.shared.groups import base_lr, small_model
from trainer.report.csv_file import write_csv
from trainer.report.plots import new_figure
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
    """Writes the learning rate and, unless `steps` is set, the first inputs and the class counts.

    `steps` defaults to the run's. If either is set, no data set is opened and an epoch has
    `steps / epochs` steps. Writes `lr.csv` and `lr.png`; from the data `inputs.png` (augmented and
    mixed images), `inputs.csv` (their labels and shares) and, if there are classes, `classes.csv`.
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
        """Preview the learning rate and, if no steps are set, the data."""
        steps, epochs = self.steps or steps, most_epochs
        optimizer = plain_optimizer(small_model())
        curve = partial(rates_of, schedule, warmup, base_lr(optimizer), console)
        if steps is None:
            data = inputs()
            plan, full = data.planner.plan(0), data.full_steps
            scale = full / plan.steps  # a sampler may change the number of steps per epoch
            times = [epoch * full + i * scale for epoch in range(epochs) for i in range(plan.steps)]
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
    """Return the learning rate at each of `times`, in steps of the clock."""
    learning_rate = LearningRate(schedule, warmup, base, clock)
    if math.isinf(warmup.duration):
        console.warn(
            "the curve shows only the warmup, which ends by the training error or warmup.steps"
        )
    elif schedule.needs_val:
        console.warn("the curve is flat: the schedule lowers the rate by metrics of the run")
    return [learning_rate.lr(t) for t in times]


def write_curve(folder: Path, rates: list[float]) -> None:
    """Write `lr.csv`, a row per step, and `lr.png`."""
    write_csv(folder / "lr.csv", [("step", "lr"), *enumerate(rates)])
    figure = new_figure(8, 4)
    axes = figure.add_subplot(xlabel="step", ylabel="learning rate")
    axes.plot(rates)
    axes.grid(alpha=0.3)
    figure.savefig(folder / "lr.png")
