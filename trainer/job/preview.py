"""What a run would do, without training: the learning rate, the inputs, the classes."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer.check import within
from trainer.job.base import Job
from trainer.length import Clock
from trainer.picture import grid
from trainer.plan import Plan
from trainer.rate import Rate
from trainer.sampler.base import class_counts
from trainer.seed import Draws, Moment

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.run import Run


class Preview(Job):
    """The learning rate and, unless `steps` gives the length without data, the inputs.

    Writes `lr.csv`, `lr.png`, `inputs.png` (augmented and mixed, the shares in `inputs.csv`) and
    `classes.csv`.
    """

    def __call__(self, run: Run) -> dict[str, Any]:
        """Preview the learning rate, then the data."""
        steps, epochs = run.config["steps"], run.config["epochs"]
        if steps is None:
            full = run.full_steps
            rates = rates_of(run, Clock(full, epochs * full))
            plan = run.planner.plan(0)
            write_inputs(run, plan)
            write_counts(run, plan)
        else:
            rates = rates_of(run, Clock(steps / epochs, steps))
        write_curve(run.folder.path, rates)
        run.console.say(f"preview       {run.folder.path}")
        return {"steps": len(rates), "lr_first": rates[0], "lr_last": rates[-1]}


def rates_of(run: Run, clock: Clock) -> list[float]:
    """The rate in force at each step."""
    base = run.config["optimizer"]["lr"]
    within("optimizer.lr", base, "(0, inf)")
    rate = Rate(run.schedule, run.warmup, base, clock)
    return [rate.lr(t) for t in range(round(clock.total))]


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


def write_inputs(run: Run, plan: Plan, number: int = 32) -> None:
    """The first images of the first epoch as the model would see them."""
    feed = run.loader.open(run.data.train, run.device)
    batch = next(iter(feed.batches(plan)))
    images = batch.images.float() / 255
    draws = Draws(run.config["seed"], 0, torch.arange(len(images), device=images.device))
    for augmentation in run.augmentation:
        images = augmentation(images, draws)
    moment = Moment(run.config["seed"], 0, 0)
    mixed = run.mixer(batch.with_images(images), moment)
    Image.fromarray(grid(mixed.images[:number])).save(run.folder.path / "inputs.png")
    names = run.data.classes
    with (run.folder.path / "inputs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "share", "id"])
        for i in range(min(number, len(mixed))):
            parts = zip(mixed.labels[i], mixed.shares[i], mixed.index[i], strict=True)
            writer.writerows([i, names[int(y)], f"{s:.4f}", int(n)] for y, s, n in parts)


def write_counts(run: Run, plan: Plan) -> None:
    """Examples of each class in the training split, and rows of each in the first epoch."""
    rows = class_counts(plan, run.data.train.labels, len(run.data.classes))
    counts = run.data.class_counts()
    with (run.folder.path / "classes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "examples", "rows in an epoch"])
        for name, examples, drawn in zip(run.data.classes, counts, rows, strict=True):
            writer.writerow([name, int(examples), f"{drawn:g}"])
