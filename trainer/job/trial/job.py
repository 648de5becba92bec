"""The small-scale rehearsal: what would go wrong in a long run, found in seconds."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.trial.first_steps import Check, FirstSteps, check_labels, check_start, evenly
from trainer.job.trial.overfit import check_generalises, check_overfit
from trainer.job.trial.throughput import UNTIMED, measure
from trainer.report.console import table
from trainer.report.log import Log
from trainer.run.assemble import make_fit
from trainer.training.reporter import Reporter

if TYPE_CHECKING:
    from trainer.run.run import Run

UNITS = ("", "k", "M", "G", "T", "P")  # of 1000 each


class Trial(Job):
    """Runs a few batches through everything and says whether a long run is worth its time.

    `overfit` examples must be learned by heart in `overfit_steps`. Then other examples must be
    known better than by chance, if need be after training on `generalise` of them for at most
    `generalise_steps`. Test examples are not read.
    """

    needs_data = True

    def __init__(
        self,
        *,
        batches: int = 20,
        overfit: int = 64,
        overfit_steps: int = 400,
        generalise: int = 512,
        generalise_steps: int = 1000,
    ) -> None:
        within("job.batches", batches, f"[{UNTIMED + 1}, inf)")
        within("job.overfit", overfit, "[2, inf)")
        within("job.overfit_steps", overfit_steps, "[1, inf)")
        within("job.generalise", generalise, "[2, inf)")
        within("job.generalise_steps", generalise_steps, "[1, inf)")
        self.batches = batches
        self.overfit = overfit
        self.overfit_steps = overfit_steps
        self.generalise = generalise
        self.generalise_steps = generalise_steps

    def __call__(self, run: Run) -> dict[str, Any]:
        """Check, measure, and end with a verdict."""
        log = Log(run.folder.path, run.console.warn)
        try:
            fit = make_fit(run, Reporter(log, run.console, run.data, run.epochs))
            initial = copy.deepcopy(run.model.state_dict())
            checks = [check_start(run), check_labels(run)]
            steps = FirstSteps(run, fit, self.batches, initial)
            checks += steps.checks()
            steps.again()
            speed = measure(run, fit, self.batches)
            steps.again()
            if all(check.fine for check in checks):
                checks += self.lessons(run, initial)
        finally:
            log.close()
        return self.conclude(run, checks, speed)

    def lessons(self, run: Run, initial: dict[str, Any]) -> list[Check]:
        """What can be learned, and where that can be done, what it is worth."""
        few = evenly(run.data.train, self.overfit)
        check = check_overfit(run, initial, few, self.overfit_steps)
        if not check.fine:
            return [check]
        limits = self.generalise, self.generalise_steps
        return [check, check_generalises(run, initial, few, *limits)]

    def conclude(
        self, run: Run, checks: list[Check], speed: dict[str, float | None]
    ) -> dict[str, Any]:
        """Show the findings and the verdict."""
        rows = [[c.name, "fine" if c.fine else "NOT FINE", c.detail] for c in checks]
        rows += described(speed, run.peak_memory())
        run.console.say(table("trial", ["check", "", "finding"], rows))
        bad = [check.detail for check in checks if not check.fine]
        verdict = f"not ready: {'; '.join(bad)}" if bad else "ready to train"
        run.console.say(f"verdict: {verdict}")
        return {"verdict": verdict, "checks": [asdict(check) for check in checks], **speed}


def described(speed: dict[str, float | None], memory: int) -> list[list[str]]:
    """The rows of the table that say how fast it is."""
    images, epoch, total, own, reached, utilisation = speed.values()
    used = "" if utilisation is None else f", {utilisation:.0%} of the card's"
    return [
        ["speed", "", f"{images:,.0f} images/s"],
        ["time", "", f"{epoch:.1f} s an epoch"],
        ["whole run", "", f"{total:.0f} s"],
        ["peak memory", "", f"{memory / 2**20:,.0f} MiB"],
        ["model", "", f"{scaled(own)}FLOP forward for an image"],
        ["compute", "", f"{scaled(reached)}FLOP/s{used}"],
    ]


def scaled(value: float | None) -> str:
    """A number with a unit's prefix: 3.1 M."""
    value, order = value or 0.0, 0
    while value >= 1000 and order < len(UNITS) - 1:
        value, order = value / 1000, order + 1
    return f"{value:.3g} {UNITS[order]}"
