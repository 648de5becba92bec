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
from trainer.planner import Planner
from trainer.rate import Rate
from trainer.seed import Draws, Moment

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.run import Run


class Preview(Job):
    """Writes `lr.csv` and `lr.png`; and, unless `steps` is given, opens the data set and writes
    `inputs.png` (augmented and mixed, with the shares in `inputs.csv`) and `classes.csv`.
    """

    def __call__(self, run: Run) -> dict[str, Any]:
        """Preview the learning rate, then the data."""
        steps, epochs = run.config["steps"], run.config["epochs"]
        if steps is None:
            planner = self.planner(run)
            clock = Clock(planner.full_steps, epochs * planner.full_steps)
        else:
            clock = Clock(steps / epochs, steps)
        rates = self.rates(run, clock)
        write_curve(run.folder.path, rates)
        if steps is None:
            write_inputs(run, planner)
            write_counts(run, planner)
        run.console.say(f"preview       {run.folder.path}")
        return {"steps": len(rates), "lr_first": rates[0], "lr_last": rates[-1]}

    def planner(self, run: Run) -> Planner:
        """The plans of the run, before any mining."""
        return Planner(
            run.data.train,
            run.sampler,
            run.miner,
            seed=run.config["seed"],
            batch_size=run.batch_size,
            epochs=run.config["epochs"],
            warn=run.console.warn,
        )

    def rates(self, run: Run, clock: Clock) -> list[float]:
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


def write_inputs(run: Run, planner: Planner, number: int = 32) -> None:
    """The first images of the first epoch as the model would see them."""
    feed = run.loader.open(run.data.train, run.device)
    batch = next(iter(feed.batches(planner.plan(0))))
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


def write_counts(run: Run, planner: Planner) -> None:
    """Examples of each class in the training split, and rows of each in the first epoch."""
    plan = planner.plan(0)
    labels = run.data.train.labels[plan.ids[:, 0]]
    rows = labels.bincount(minlength=len(run.data.classes))
    counts = run.data.class_counts()
    with (run.folder.path / "classes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "examples", "rows in an epoch"])
        for name, examples, drawn in zip(run.data.classes, counts, rows, strict=True):
            writer.writerow([name, int(examples), int(drawn)])
