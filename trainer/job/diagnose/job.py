"""The health of an initialised model, layer by layer, before its first step."""

from __future__ import annotations

import copy
import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.core.forward import Forward
from trainer.core.option import option_of
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import Purpose, seed_torch
from trainer.dataset import Split
from trainer.job.base import Job
from trainer.job.diagnose.findings import Finding, Limits, findings
from trainer.job.diagnose.probe import LayerStats, Probe, add_updates, observe, twins
from trainer.model.shared.head import head_of
from trainer.optimizer.shared.layer_rates import scale_parts
from trainer.report.console import table

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.core.batch import Batch
    from trainer.run.run import Run

SHOWN = 8  # findings on the console; all are in result.json
NAMED = 40  # layers that the picture names
COLUMNS = ("layer", "mean", "deviation", "dead")
NUMBERS = {
    "gradient_norm": "|dL/dy|",
    "weight_gradient_norm": "|dL/dw|",
    "update_ratio": "|Δw|/|w|",
}


class Diagnose(Job):
    """One forward and backward pass, in training mode and float32, of a copy: nothing changes.

    The loss is the run's without augmentation, mixing, mining and distillation. Activations or
    gradients vanish or explode where those of the first layer and those before the head differ by
    more than `ratio`; more than the part `dead` of a layer's units being dead is a fault too.
    Writes `diagnose.csv` and `diagnose.png`.
    """

    needs_data = True

    def __init__(self, *, examples: int = 128, ratio: float = 1000.0, dead: float = 0.9) -> None:
        within("job.examples", examples, "[2, inf)")
        within("job.ratio", ratio, "(1, inf)")
        within("job.dead", dead, "[0, 1]")
        self.examples = examples
        self.limits = Limits(ratio, dead)

    def __call__(self, run: Run) -> dict[str, Any]:
        """Measure, find, show."""
        head = head_of(run.model)
        probe, same, loss = examine(run, head, self.examples)
        rows, found = probe.rows, findings(probe, same, head, self.limits)
        write_rows(run.folder.path / "diagnose.csv", rows)
        write_picture(run.folder.path / "diagnose.png", rows)
        scheme = option_of(run.init)
        show(run, rows, [f"{scheme}: {finding.text}" for finding in found])
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in found))
        verdict = f"not healthy: {scheme}: {kinds}" if kinds else "healthy"
        run.console.say(f"verdict: {verdict}")
        return {"verdict": verdict, "findings": described(scheme, found), "loss": finite(loss)}


def examine(run: Run, head: str, examples: int) -> tuple[Probe, dict[str, tuple[int, int]], float]:
    """What a copy of the model does, its units that are the same, and the loss."""
    batch = sample(run, examples)
    config, data, device = run.config, run.data, run.device
    model = copy.deepcopy(run.model).train()
    optimizer = run.make("optimizer", Optimizer, model=model, params=model.parameters())
    scales = {key: config["finetune"][key] for key in ("head_lr_factor", "layer_decay")}
    scale_parts(optimizer, model, **scales)
    seed_torch(device, config["seed"], Purpose.STEP, 0)
    forward = Forward(model, mean=data.mean, std=data.std, device=device)
    probe, loss = observe(forward, head, run.ready_loss, batch)
    same = twins(model, head)
    add_updates(probe.rows, model, optimizer)
    return probe, same, loss


def sample(run: Run, number: int) -> Batch:
    """A batch of training examples, evenly from the split."""
    train = run.data.train
    number = min(number, len(train))
    few = Split(train.images, train.labels, train.ids[torch.arange(number) * len(train) // number])
    return next(iter(run.loader.open(few, run.device).batches(Plan.of(few.ids, number))))


def show(run: Run, rows: Sequence[LayerStats], texts: Sequence[str]) -> None:
    """The table and the first findings."""
    cells = [
        [
            f"  {row.kind}" if row.active else row.layer,
            *(number(row.mean), number(row.deviation), f"{row.dead:.0%}"),
            *(number(getattr(row, key)) for key in NUMBERS),
        ]
        for row in rows
    ]
    run.console.say(table("diagnose", [*COLUMNS, *NUMBERS.values()], cells))
    for text in texts[:SHOWN]:
        run.console.say(text)
    if len(texts) > SHOWN:
        run.console.say(f"and {len(texts) - SHOWN} more, in {run.folder.path}/result.json")


def number(value: float) -> str:
    """A number for the table; nothing where it is unknown."""
    return "" if math.isnan(value) else f"{value:.2g}"


def described(scheme: str, found: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings for result.json, which name the scheme."""
    return [asdict(finding) | {"text": f"{scheme}: {finding.text}"} for finding in found]


def finite(value: float) -> float | None:
    """The value, None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def write_rows(path: Path, rows: Sequence[LayerStats]) -> None:
    """A line for each row; what is unknown is left empty."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([key.name for key in fields(LayerStats)])
        for row in rows:
            writer.writerow("" if value != value else value for value in asdict(row).values())


def write_picture(path: Path, rows: Sequence[LayerStats]) -> None:
    """Deviation of the outputs and norm of their gradients by layer, on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = [row for row in rows if not row.active]
    figure = Figure(figsize=(max(6.0, min(len(layers), NAMED) / 3), 6), layout="constrained")
    FigureCanvasAgg(figure)
    curves = {"deviation of the outputs": "deviation", "norm of their gradient": "gradient_norm"}
    top, bottom = figure.subplots(2, 1, sharex=True)
    for axes, (label, key) in zip((top, bottom), curves.items(), strict=True):
        values = [getattr(row, key) for row in layers]
        shown = [v if math.isfinite(v) and v > 0 else math.nan for v in values]
        axes.plot(shown, marker="o", markersize=4)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        if any(v > 0 for v in shown):
            axes.set_yscale("log")
        if missing := sum(v != v for v in shown):
            axes.set_title(f"{missing} layers are 0 or not finite", fontsize="small")
    if len(layers) <= NAMED:
        bottom.set_xticks(range(len(layers)), [row.layer for row in layers], rotation=90)
    figure.savefig(path, dpi=120)
