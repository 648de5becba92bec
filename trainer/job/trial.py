"""The small-scale rehearsal: what would go wrong in a long run, found in seconds."""

from __future__ import annotations

import copy
import io
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from trainer.check import within
from trainer.console import table
from trainer.dataset import Split
from trainer.fit import Fit
from trainer.job.base import Job
from trainer.job.train import make_fit, make_step
from trainer.log import Log
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer
from trainer.plan import Plan
from trainer.report import Report
from trainer.seed import Moment

if TYPE_CHECKING:
    from trainer.run import Run

HOOKS = ("refresh", "sampler", "select", "weigh", "observe")
UNTIMED = 3  # first batches, slower than the rest
START_SAMPLE = 512  # examples that the loss at the start is taken from
LEARNED = 0.99  # accuracy on the examples to overfit


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    fine: bool
    detail: str


class Trial(Job):
    """Runs a few batches through everything and says whether a long run is worth its time."""

    needs_data = True

    def __init__(self, *, batches: int = 20, overfit: int = 64, overfit_steps: int = 400) -> None:
        within("job.batches", batches, f"[{UNTIMED + 1}, inf)")
        within("job.overfit", overfit, "[2, inf)")
        within("job.overfit_steps", overfit_steps, "[1, inf)")
        self.batches = batches
        self.overfit = overfit
        self.overfit_steps = overfit_steps

    def __call__(self, run: Run) -> dict[str, Any]:
        """Check, measure, and end with a verdict."""
        log = Log(run.folder.path, run.console.warn)
        try:
            fit = make_fit(run, Report(log, run.console, run.data, run.epochs))
            initial = copy.deepcopy(run.model.state_dict())
            checks = [check_start(run), *self.check_hooks(fit)]
            speed = self.measure(fit)
            run.model.load_state_dict(initial)
            checks.append(self.check_overfit(run))
        finally:
            log.close()
        return self.conclude(run, checks, speed)

    def check_hooks(self, fit: Fit) -> list[Check]:
        """Every hook of the miner, in the first epoch that it is active in."""
        miner = fit.step.miner
        miner.warmup_epochs = 0
        calls: Counter[str] = Counter()
        for name in HOOKS:
            setattr(miner, name, counted(getattr(miner, name), name, calls))
        fit.planner.refresh(0, fit.scan)
        plan = fit.planner.plan(0)
        before = fit.step.cost.backward
        rows = self.train(fit, plan)
        trained = (fit.step.cost.backward - before) / rows
        named = ", ".join(f"{name} {calls[name]}" for name in HOOKS if calls[name])
        detail = f"{named} calls; {trained:.0%} of the rows went backward"
        return [
            Check(f"mining {type(miner).__name__}", calls["observe"] > 0, detail),
            check_state(fit),
            check_gradients(fit),
        ]

    def train(self, fit: Fit, plan: Plan) -> int:
        """A few steps of a plan; how many rows they had."""
        bounds, rows = plan.bounds.tolist(), 0
        batches = islice(fit.train_feed.batches(plan), self.batches)
        for i, batch in enumerate(batches):
            fit.rate.apply(fit.step.guard.optimizer, i)
            fit.step(batch, Moment(fit.seed, 0, i), bounds[i])
            rows += len(batch)
        fit.step.guard.read()
        fit.step.meter.flush()
        return rows

    def measure(self, fit: Fit) -> dict[str, float]:
        """Images per second, and what the run would take."""
        plan = fit.planner.plan(0)
        bounds, rows, since = plan.bounds.tolist(), 0, time.perf_counter()
        for i, batch in enumerate(islice(fit.train_feed.batches(plan), self.batches)):
            if i == min(UNTIMED, plan.steps - 1):
                fit.step.norm.item()  # waits for a GPU
                rows, since = 0, time.perf_counter()
            fit.step(batch, Moment(fit.seed, 0, i), bounds[i])
            rows += len(batch)
        fit.step.norm.item()
        speed = rows / (time.perf_counter() - since)
        since = time.perf_counter()
        fit.validate()
        epoch = len(plan) / speed + time.perf_counter() - since
        total = epoch * fit.clock.total / fit.clock.steps_per_epoch
        return {"images_per_second": speed, "epoch_seconds": epoch, "total_seconds": total}

    def check_overfit(self, run: Run) -> Check:
        """A few examples, unaugmented and unmixed, must be learned by heart."""
        run.miner, run.mixer, run.augmentation = NoMiner(), NoMixer(), []
        step = make_step(run)
        train = run.data.train
        few = Split(train.images, train.labels, train.ids[: self.overfit])
        feed = run.loader.open(few, run.device)
        size = min(run.batch_size, len(few))
        taken = 0
        accuracy = 0.0
        while taken < self.overfit_steps and accuracy < LEARNED:
            for batch in feed.batches(Plan.of(few.ids, size)):
                step(batch, Moment(run.config["seed"], 0, taken), 0)
                taken += 1
            accuracy = run.evaluator(feed, few).metrics["accuracy"]
        detail = f"accuracy {accuracy:.3f} on {len(few)} training examples after {taken} steps"
        return Check("overfits", accuracy >= LEARNED, detail)

    def conclude(self, run: Run, checks: list[Check], speed: dict[str, float]) -> dict[str, Any]:
        """Show the findings and the verdict."""
        rows = [[c.name, "fine" if c.fine else "NOT FINE", c.detail] for c in checks]
        memory = run.peak_memory()
        rows += [
            ["speed", "", f"{speed['images_per_second']:,.0f} images/s"],
            ["time", "", f"{speed['epoch_seconds']:.1f} s an epoch"],
            ["whole run", "", f"{speed['total_seconds']:.0f} s"],
            ["peak memory", "", f"{memory / 2**20:,.0f} MiB"],
        ]
        run.console.say(table("trial", ["check", "", "finding"], rows))
        bad = [check.name for check in checks if not check.fine]
        verdict = f"not ready: {', '.join(bad)}" if bad else "ready to train"
        run.console.say(f"verdict: {verdict}")
        return {"verdict": verdict, "checks": [asdict(check) for check in checks], **speed}


def counted(hook: Callable[..., Any], name: str, calls: Counter[str]) -> Callable[..., Any]:
    """The hook, with its calls counted."""

    def call(*arguments: Any) -> Any:
        calls[name] += 1
        return hook(*arguments)

    return call


def check_start(run: Run) -> Check:
    """The loss of the untrained model against that of a uniform guess, ln C."""
    train = run.data.train
    some = Split(train.images, train.labels, train.ids[:START_SAMPLE])
    nll = run.evaluator(run.loader.open(some, run.device), some).metrics["nll"]
    expected = math.log(len(run.data.classes))
    detail = f"negative log likelihood {nll:.3f}, ln C = {expected:.3f}"
    return Check("loss at start", abs(nll - expected) < 0.5 * expected, detail)


def check_state(fit: Fit) -> Check:
    """The miner's state through a file and back."""
    buffer = io.BytesIO()
    torch.save(fit.step.miner.state_dict(), buffer)
    buffer.seek(0)
    fit.step.miner.load_state_dict(torch.load(buffer, weights_only=True))
    detail = f"{buffer.getbuffer().nbytes:,} bytes, written and read back"
    return Check("mining state", True, detail)


def check_gradients(fit: Fit) -> Check:
    """Every parameter got a gradient, a finite one that is not zero everywhere."""
    named = fit.model.named_parameters()
    idle = [n for n, p in named if p.requires_grad and (p.grad is None or not p.grad.any())]
    norm = fit.step.norm.item()
    detail = f"norm {norm:.3g} at the last batch"
    if idle:
        detail += f"; none at {', '.join(idle[:3])}"
    return Check("gradients", math.isfinite(norm) and not idle, detail)
