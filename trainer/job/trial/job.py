"""Dry run: finds in seconds what would go wrong in a long run."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.trial.counted_miner import CountedMiner
from trainer.job.trial.first_steps import (
    Check,
    FirstSteps,
    Subject,
    check_labels,
    check_start,
    evenly,
)
from trainer.job.trial.overfit import check_generalises, check_overfit
from trainer.job.trial.throughput import UNTIMED, measure
from trainer.report.console import table
from trainer.run import memory

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from trainer.dataset import Data, Split
    from trainer.loader import Feed
    from trainer.loss import Loss
    from trainer.mining import Miner
    from trainer.report.console import Console
    from trainer.run.assemble import StepAssembly
    from trainer.task import Task
    from trainer.training.evaluate import Evaluator
    from trainer.training.fit import Fit

PREFIXES = ("", "k", "M", "G", "T", "P")  # of 1000 each


class Trial(Job):
    """Runs a few batches through every component and decides whether the set-up can train.

    The model must overfit `overfit` examples within `overfit_steps` and then beat chance on other
    examples, if necessary after training on `generalise` examples for at most `generalise_steps`.
    The test split is not read.
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

    def __call__(
        self,
        *,
        model: nn.Module,
        data: Data,
        task: Task,
        ready_loss: Loss,
        miner: Miner,
        evaluator: Evaluator,
        open_feed: Callable[[Split], Feed],
        assemble: Callable[..., Fit],
        assemble_step: Callable[..., StepAssembly],
        sample: Callable[[int], Tensor],
        device: torch.device,
        batch_size: int,
        seed: int,
        precision: str,
        poll: Callable[[], None],
        console: Console,
    ) -> dict[str, Any]:
        """Run the checks, measure the speed, print and return the verdict."""
        counted = CountedMiner(miner)
        fit = assemble(miner=counted, tolerant=True)
        subject = Subject(
            model,
            copy.deepcopy(model.state_dict()),
            data,
            task,
            ready_loss,
            evaluator,
            open_feed,
            device,
            batch_size,
            seed,
            poll,
            assemble_step,
        )
        checks = [check_start(subject), check_labels(subject)]
        checks += FirstSteps(subject, fit, counted, self.batches).checks()
        subject.reset()
        speed = measure(fit, self.batches, sample(1), device, precision)
        subject.reset()
        if all(check.passed for check in checks):
            checks += self.check_learning(subject)
        return conclude(console, checks, speed, memory.peak(device))

    def check_learning(self, subject: Subject) -> list[Check]:
        """Check that the model can overfit and, if so, that it generalises."""
        few = evenly(subject.data.train, self.overfit)
        check = check_overfit(subject, few, self.overfit_steps)
        if not check.passed:
            return [check]
        return [check, check_generalises(subject, few, self.generalise, self.generalise_steps)]


def conclude(
    console: Console, checks: list[Check], speed: dict[str, float | None], memory: int
) -> dict[str, Any]:
    """Print and return the results of the checks, the speed and the verdict."""
    rows = [[c.name, "passed" if c.passed else "FAILED", c.detail] for c in checks]
    rows += described(speed, memory)
    console.say(table("trial", ["check", "", "finding"], rows))
    failures = [check.detail for check in checks if not check.passed]
    verdict = f"not ready: {'; '.join(failures)}" if failures else "ready to train"
    console.say(f"verdict: {verdict}")
    return {"verdict": verdict, "checks": [asdict(check) for check in checks], **speed}


def described(speed: dict[str, float | None], memory: int) -> list[list[str]]:
    """Format speed, time, memory and compute as rows of the table."""
    images, epoch, total, per_image, per_second, utilisation = speed.values()
    used = "" if utilisation is None else f", {utilisation:.0%} of the GPU's peak"
    return [
        ["speed", "", f"{images:,.0f} images/s"],
        ["time", "", f"{epoch:.1f} s per epoch"],
        ["whole run", "", f"{total:.0f} s"],
        ["peak memory", "", f"{memory / 2**20:,.0f} MiB"],
        ["model", "", f"{scaled(per_image)}FLOP forward per image"],
        ["compute", "", f"{scaled(per_second)}FLOP/s{used}"],
    ]


def scaled(value: float | None) -> str:
    """Format a number with an SI prefix, such as 3.1 M."""
    value, order = value or 0.0, 0
    while value >= 1000 and order < len(PREFIXES) - 1:
        value, order = value / 1000, order + 1
    return f"{value:.3g} {PREFIXES[order]}"
