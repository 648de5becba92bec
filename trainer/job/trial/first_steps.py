"""What can be said of a set-up by its first steps: each check is one finding."""

import io
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.dataset import Split
from trainer.optimizer.shared.groups import base_lr
from trainer.training.fit import Fit
from trainer.training.step import Step

if TYPE_CHECKING:
    from trainer.run.run import Run

HOOKS = ("refresh", "sampler", "select", "weigh", "observe")
START_SAMPLE = 512  # examples that the loss at the start is taken from
MOST_OUTPUTS = 2**24  # numbers; where outputs are maps, fewer examples
START = (0.5, 5.0)  # times ln C that it may be
LABEL_SAMPLE = 16  # examples that other labels are tried on
GROWTH = 10.0  # times the loss at the start that it must not come to
EASED = 0.01  # part of the learning rate that is tried where the loss is not finite


@dataclass(frozen=True)
class Check:
    """One finding; what is not fine says in one sentence what is wrong."""

    name: str
    fine: bool
    detail: str


def tolerant(step: Step) -> Step:
    """The step, with losses that are not finite skipped: here they are findings, no errors."""
    step.guard.policy, step.guard.max_skips = "skip", sys.maxsize
    return step


def evenly(split: Split, number: int) -> Split:
    """At most `number` examples, evenly from the split: stratified where it is sorted by class."""
    number = min(number, len(split))
    at = torch.arange(number) * len(split) // max(number, 1)
    return Split(split.images, split.labels, split.ids[at])


@torch.no_grad()
def check_start(run: "Run") -> Check:
    """The loss of the untrained model, in training mode, against that of a uniform guess, ln C."""
    size = min(START_SAMPLE, max(8, MOST_OUTPUTS // math.prod(run.task.shape(run.data))))
    few = evenly(run.data.train, size)
    feed = run.loader.open(few, run.device)
    seed_torch(run.device, run.config["seed"], Purpose.STEP, 0)  # dropout is on
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in run.evaluator.outputs(feed, few.ids, run.signals.check)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    evaluation = run.evaluator.judge(few.ids, outputs, labels)
    bad = few.ids[~torch.isfinite(evaluation.records["loss"])].tolist()
    if bad:
        return Check("loss at start", False, f"the loss of examples {bad[:5]} is not finite")
    if not run.data.classes:
        detail = "mse {mse:.3g}, r2 {r2:.3g}; that of the mean is 0".format(**evaluation.metrics)
        return Check("loss at start", True, detail)
    nll, expected = plain_loss(run, outputs, labels), math.log(len(run.data.classes))
    detail = f"the negative log likelihood at the start is {nll:.4g}, ln C is {expected:.4g}"
    fine = START[0] * expected < nll < START[1] * expected
    return Check("loss at start", fine, detail if fine else f"{detail}; job=diagnose shows more")


def plain_loss(run: "Run", outputs: Tensor, labels: Tensor) -> float:
    """The mean negative log likelihood of logits [B, C, ...]."""
    return F.cross_entropy(outputs, labels, ignore_index=ignored(run)).item()


def ignored(run: "Run") -> int:
    """The label of pixels that count nothing, -1 where there is none."""
    return -1 if run.task.ignore_index is None else run.task.ignore_index


def check_labels(run: "Run") -> Check:
    """The loss of some outputs must change with the labels."""
    few = evenly(run.data.train, LABEL_SAMPLE)
    batch = next(iter(run.loader.open(few, run.device).batches(Plan.of(few.ids, LABEL_SAMPLE))))
    labels = batch.labels[:, 0]
    rng = torch.Generator().manual_seed(run.config["seed"])
    shape = len(labels), *run.task.shape(run.data)
    outputs = torch.randn(shape, generator=rng).to(run.device)
    if labels.is_floating_point():
        labels = labels.reshape(shape)
        others = labels + 1
    else:
        others = (labels + 1) % len(run.data.classes)
        others = torch.where(labels == ignored(run), labels, others)
    same = torch.equal(run.ready_loss(outputs, labels), run.ready_loss(outputs, others))
    if same and len(run.data.classes) != 1:
        return Check("loss of labels", False, "the loss does not depend on the labels")
    return Check("loss of labels", True, "other labels, another loss")


class FirstSteps:
    """A few steps from the weights at the start, with every part of the run."""

    def __init__(self, run: "Run", fit: Fit, batches: int, initial: dict[str, Any]) -> None:
        self.run = run
        self.fit = fit
        self.batches = batches
        self.initial = initial
        self.rate = f"optimizer.lr={base_lr(fit.step.guard.optimizer):g}"
        self.idle_at_first: list[str] = []
        tolerant(fit.step)

    def again(self) -> None:
        """Put the weights back as they were at the start."""
        self.run.model.load_state_dict(self.initial)

    def checks(self) -> list[Check]:
        """Every hook of the miner, in the first epoch that it is active in; losses, gradients."""
        fit, miner = self.fit, self.fit.step.miner
        miner.warmup_epochs = 0
        self.again()  # BatchNorm has seen the examples of the start
        calls: Counter[str] = Counter()
        for name in HOOKS:
            setattr(miner, name, counted(getattr(miner, name), name, calls))
        fit.planner.refresh(0, fit.scan)
        plan = fit.planner.plan(0)
        before = fit.step.cost.backward
        losses, rows = self.train(plan)
        trained = (fit.step.cost.backward - before) / rows
        named = ", ".join(f"{name} {calls[name]}" for name in HOOKS if calls[name])
        detail = f"{named or 'no'} calls; {trained:.0%} of the rows went backward"
        # Where no step was taken there was nothing to observe, and the losses say why.
        last = "observe" if miner.observes else "select"
        hooked = calls[last] > 0 or not any(map(math.isfinite, losses))
        mining = Check(f"mining {type(miner).__name__}", hooked, detail)
        checks = [mining, check_state(fit), self.check_losses(plan, losses)]
        return [*checks, self.check_gradients()] if checks[-1].fine else checks

    def train(self, plan: Plan, factor: float = 1.0) -> tuple[list[float], int]:
        """The loss of each step, NaN where none was taken, and the rows of all.

        The learning rate is the run's times `factor`.
        """
        fit, rows, losses = self.fit, 0, []
        bounds, optimizer = plan.bounds.tolist(), fit.step.guard.optimizer
        for i, batch in enumerate(islice(fit.train_feed.batches(plan), self.batches)):
            fit.rate.apply(optimizer, i)
            for group in optimizer.param_groups:
                group["lr"] *= factor
            fit.step(batch, StepId(fit.seed, 0, i), bounds[i])
            fit.step.guard.read()
            fit.step.meter.flush()
            self.idle_at_first = self.idle_at_first if i else self.idle()
            losses.append(fit.step.meter.take_interval().get("loss", math.nan))
            rows += len(batch)
            self.run.signals.check()
        return losses, rows

    def check_losses(self, plan: Plan, losses: list[float]) -> Check:
        """Whether the loss explodes. Where it just stops being finite a lower rate is tried."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        first, last = losses[0], losses[-1]
        if not math.isfinite(first):
            what = "the loss or its gradient is not finite at the first step"
            return Check("first steps", False, what)
        peak = max(finite)
        what = f"{self.rate} is too high: the loss went from {first:.2g} to {peak:.2g}"
        grown = first > 0 and peak > GROWTH * first
        if len(finite) < len(losses):
            self.again()
            if not grown and not all(map(math.isfinite, self.train(plan, EASED)[0])):
                what = f"the loss is not finite after some steps, at a hundredth of {self.rate} too"
            else:
                what = f"{what}, then it was not finite"
            return Check("first steps", False, what)
        if grown and last > first:
            return Check("first steps", False, what)
        detail = f"the loss went from {first:.3g} to {last:.3g} in {len(losses)} steps"
        return Check("first steps", True, detail)

    def check_gradients(self) -> Check:
        """Every parameter got a gradient that is not zero everywhere, at the last batch.

        At the first one it may be: behind a head of zeros there is none.
        """
        idle = self.idle()
        names = ", ".join(idle[:3])
        if lost := [name for name in idle if name not in self.idle_at_first]:
            what = f"{self.rate} is too high: after a few steps no gradient comes to {lost[0]}"
            return Check("gradients", False, what)
        if idle:
            what = f"no gradient comes to {names}; job=diagnose shows where it is lost"
            return Check("gradients", False, what)
        return Check("gradients", True, f"norm {self.fit.step.norm.item():.3g} at the last batch")

    def idle(self) -> list[str]:
        """Names of the parameters that got no gradient."""
        named = self.fit.model.named_parameters()
        return [n for n, p in named if p.requires_grad and (p.grad is None or not p.grad.any())]


def counted(hook: Callable[..., Any], name: str, calls: Counter[str]) -> Callable[..., Any]:
    """The hook, with its calls counted."""

    def call(*arguments: Any) -> Any:
        calls[name] += 1
        return hook(*arguments)

    return call


def check_state(fit: Fit) -> Check:
    """The miner's state through a file and back."""
    buffer = io.BytesIO()
    torch.save(fit.step.miner.state_dict(), buffer)
    buffer.seek(0)
    fit.step.miner.load_state_dict(torch.load(buffer, weights_only=True))
    detail = f"{buffer.getbuffer().nbytes:,} bytes, written and read back"
    return Check("mining state", True, detail)
