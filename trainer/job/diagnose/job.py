"""The health of an initialised model, layer by layer, before its first step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
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
from trainer.job.diagnose.probe import LayerStats, add_updates, identical_units, observe
from trainer.model.shared.head import head_of
from trainer.report.console import table
from trainer.report.csv_file import write_csv
from trainer.report.plots import new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from trainer.core.batch import Batch
    from trainer.dataset import Data
    from trainer.init import Init
    from trainer.loader import Feed
    from trainer.loss import Loss
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

SHOWN = 8  # findings on the console; all are in result.json
NAMED = 40  # most layers whose names are written below the plot
COLUMNS = ("layer", "mean", "deviation", "dead")
NUMBERS = {
    "gradient_norm": "|dL/dy|",
    "weight_gradient_norm": "|dL/dw|",
    "update_ratio": "|Δw|/|w|",
}


class Diagnose(Job):
    """Checks the initialised model by one forward and backward pass in float32.

    Uses a copy of the model in training mode and the run's loss, without augmentation, mixing,
    mining or distillation. Activations or gradients vanish or explode if the first layer and the
    input of the head differ by more than a factor of `ratio`. Layers with more than a fraction
    `dead` of dead units are reported too. Writes `diagnose.csv` and `diagnose.png`.
    """

    needs_data = True

    def __init__(self, *, examples: int = 128, ratio: float = 1000.0, dead: float = 0.9) -> None:
        within("job.examples", examples, "[2, inf)")
        within("job.ratio", ratio, "(1, inf)")
        within("job.dead", dead, "[0, 1]")
        self.examples = examples
        self.limits = Limits(ratio, dead)

    def __call__(
        self,
        *,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], Optimizer],
        ready_loss: Loss,
        data: Data,
        open_feed: Callable[[Split], Feed],
        device: torch.device,
        seed: int,
        init: Init,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Probe the model, print and write the statistics and findings."""
        head = head_of(model)
        copied = copy.deepcopy(model).train()
        optimizer = make_optimizer(copied)
        batch = sample(data.train, open_feed, self.examples)
        seed_torch(device, seed, Purpose.STEP, 0)
        forward = Forward(copied, mean=data.mean, std=data.std, device=device, size=data.crop)
        probe, loss = observe(forward, head, ready_loss, batch)
        identical = identical_units(copied, head)
        add_updates(probe.rows, copied, optimizer)
        rows, faults = probe.rows, findings(probe, identical, head, self.limits)
        write_rows(folder.path / "diagnose.csv", rows)
        write_picture(folder.path / "diagnose.png", rows)
        scheme = option_of(init)
        show(console, folder.path, rows, [f"{scheme}: {finding.text}" for finding in faults])
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in faults))
        verdict = f"not healthy: {scheme}: {kinds}" if kinds else "healthy"
        console.say(f"verdict: {verdict}")
        return {"verdict": verdict, "findings": described(scheme, faults), "loss": finite(loss)}


def sample(train: Split, open_feed: Callable[[Split], Feed], number: int) -> Batch:
    """Return a batch of at most `number` training examples, evenly spaced in the split."""
    number = min(number, len(train))
    few = Split(train.images, train.labels, train.ids[torch.arange(number) * len(train) // number])
    return next(iter(open_feed(few).batches(Plan.of(few.ids, number))))


def show(console: Console, folder: Path, rows: Sequence[LayerStats], texts: Sequence[str]) -> None:
    """Print the table of layers and the first findings."""
    cells = [
        [
            f"  {row.kind}" if row.active else row.layer,
            *(number(row.mean), number(row.deviation), f"{row.dead:.0%}"),
            *(number(getattr(row, key)) for key in NUMBERS),
        ]
        for row in rows
    ]
    console.say(table("diagnose", [*COLUMNS, *NUMBERS.values()], cells))
    for text in texts[:SHOWN]:
        console.say(text)
    if len(texts) > SHOWN:
        console.say(f"and {len(texts) - SHOWN} more, in {folder}/result.json")


def number(value: float) -> str:
    """Format a number for the table; unknown ones are empty."""
    return "" if math.isnan(value) else f"{value:.2g}"


def described(scheme: str, faults: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings for result.json, prefixed with the name of the initialisation."""
    return [asdict(finding) | {"text": f"{scheme}: {finding.text}"} for finding in faults]


def finite(value: float) -> float | None:
    """Return the value, or None if it is not finite, which JSON cannot express."""
    return value if math.isfinite(value) else None


def write_rows(path: Path, rows: Sequence[LayerStats]) -> None:
    """Write the statistics as CSV; unknown values are left empty."""
    values = (("" if value != value else value for value in asdict(row).values()) for row in rows)
    write_csv(path, [[key.name for key in fields(LayerStats)], *values])


def write_picture(path: Path, rows: Sequence[LayerStats]) -> None:
    """Plot the deviation of the outputs and the norm of their gradients by layer, log scale."""
    layers = [row for row in rows if not row.active]
    figure = new_figure(max(6.0, min(len(layers), NAMED) / 3), 6)
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
    figure.savefig(path)
