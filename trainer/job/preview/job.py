"""What a run would do, without training: the learning rate, the inputs, the classes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils import skip_init
from torch.optim import Optimizer

from trainer.core.duration import Clock
from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.preview.inputs import write_counts, write_inputs
from trainer.optimizer.shared.groups import base_lr
from trainer.training.learning_rate import LearningRate

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.run.run import Run


class Preview(Job):
    """The learning rate and, unless `steps` gives the length without data, the inputs.

    `steps` is the job's, otherwise the run's; without data an epoch is `steps / epochs`. Writes
    `lr.csv`, `lr.png`, `inputs.png` (augmented and mixed, the shares in `inputs.csv`) and, where
    there are classes, `classes.csv`.
    """

    def __init__(self, *, steps: int | None = None) -> None:
        if steps is not None:
            within("job.steps", steps, "[1, inf)")
        self.steps = steps

    def __call__(self, run: Run) -> dict[str, Any]:
        """Preview the learning rate, then the data."""
        steps, epochs = self.steps or run.config["steps"], run.config["epochs"]
        if steps is None:
            plan, full = run.planner.plan(0), run.full_steps
            own = full / plan.steps  # steps of a full epoch that one of the sampler's is worth
            times = [epoch * full + i * own for epoch in range(epochs) for i in range(plan.steps)]
            rates = rates_of(run, Clock(full, epochs * full), times)
            write_inputs(run, plan)
            write_counts(run, plan)
        else:
            rates = rates_of(run, Clock(steps / epochs, steps), range(steps))
        write_curve(run.folder.path, rates)
        run.console.say(f"preview       {run.folder.path}")
        return {"steps": len(rates), "lr_first": rates[0], "lr_last": rates[-1]}


def rates_of(run: Run, clock: Clock, times: Iterable[float]) -> list[float]:
    """The rate in force at each step, by the clock's time of it."""
    probe = skip_init(nn.Linear, 2, 2)
    optimizer = run.make("optimizer", Optimizer, model=probe, params=probe.parameters())
    rate = LearningRate(run.schedule, run.warmup, base_lr(optimizer), clock)
    if math.isinf(run.warmup.length):
        run.console.warn("the curve is the warmup's: the training error ends it, or warmup.steps")
    elif run.schedule.needs_val:
        run.console.warn("the curve is flat: only the metrics of a run lower the rate")
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
