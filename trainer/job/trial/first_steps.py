"""Checks of the loss, the labels, the miner and the first steps of training."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.option import option_of
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.core.text import count
from trainer.dataset import Split
from trainer.optimizer.shared.groups import base_lr

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.dataset import Data
    from trainer.job.trial.counted_miner import CountedMiner
    from trainer.loader import Feed
    from trainer.loss import Loss
    from trainer.run.assemble import StepAssembly
    from trainer.task import Task
    from trainer.training.evaluate import Evaluator
    from trainer.training.fit import Fit

HOOKS = ("refresh", "sampler", "select", "weigh", "observe")
START_SAMPLE = 512  # examples for the loss at the start
MOST_OUTPUTS = 2**24  # numbers in memory at once; outputs that are maps mean fewer examples
START = (0.5, 5.0)  # allowed range of the loss at the start, in units of ln C
LABEL_SAMPLE = 16  # examples whose labels are changed
GROWTH = 10.0  # times the first loss: above it the loss has exploded
EASED = 0.01  # factor of the learning rate tried after a non-finite loss


@dataclass(frozen=True)
class Check:
    """Result of a check; `detail` is a sentence, on what is wrong if it failed."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Subject:
    """The components of a run that the trial tests."""

    model: nn.Module
    initial: dict[str, Tensor]  # the model's initial weights
    data: Data
    task: Task
    loss: Loss
    evaluator: Evaluator
    open_feed: Callable[[Split], Feed]
    device: torch.device
    batch_size: int
    seed: int
    poll: Callable[[], None]
    new_step: Callable[..., StepAssembly]

    def reset(self) -> None:
        """Load the initial weights into the model."""
        self.model.load_state_dict(self.initial)


def evenly(split: Split, number: int) -> Split:
    """Return at most `number` evenly spaced examples: stratified if sorted by class."""
    number = min(number, len(split))
    at = torch.arange(number) * len(split) // max(number, 1)
    return Split(split.images, split.labels, split.ids[at])


@torch.no_grad()
def check_start(subject: Subject) -> Check:
    """Compare the untrained model's loss, in training mode, with ln C, that of a uniform guess."""
    size = min(START_SAMPLE, max(8, MOST_OUTPUTS // math.prod(subject.task.shape(subject.data))))
    few = evenly(subject.data.train, size)
    feed = subject.open_feed(few)
    seed_torch(subject.device, subject.seed, Purpose.STEP, 0)  # dropout is on
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in subject.evaluator.outputs(feed, few.ids, subject.poll)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    evaluation = subject.evaluator.judge(few.ids, outputs, labels)
    bad = few.ids[~torch.isfinite(evaluation.records["loss"])].tolist()
    if bad:
        return Check("loss at start", False, f"the loss of examples {bad[:5]} is not finite")
    if subject.data.target == "boxes":
        detail = "the loss of an image at the start is {loss:.3g}, its map {map:.3g}"
        return Check("loss at start", True, detail.format(**evaluation.metrics))
    if not subject.data.classes:
        detail = "mse {mse:.3g}, r2 {r2:.3g}; predicting the mean has r2 0"
        return Check("loss at start", True, detail.format(**evaluation.metrics))
    if labels.dtype == torch.bool:
        nll = F.binary_cross_entropy_with_logits(outputs, labels.float()).item()
        choices, name = 2, "2"
    else:
        nll = F.cross_entropy(outputs, labels, ignore_index=ignored(subject.task)).item()
        choices, name = len(subject.data.classes), "C"
    expected = math.log(choices)
    detail = f"the negative log likelihood at the start is {nll:.4g}, ln {name} is {expected:.4g}"
    passed = START[0] * expected < nll < START[1] * expected
    return Check(
        "loss at start", passed, detail if passed else f"{detail}; job=diagnose shows more"
    )


def ignored(task: Task) -> int:
    """Return the label of ignored pixels, -1 if there is none."""
    return -1 if task.ignore_index is None else task.ignore_index


def check_labels(subject: Subject) -> Check:
    """Check that the loss of fixed outputs changes with the labels."""
    few = evenly(subject.data.train, LABEL_SAMPLE)
    batch = next(iter(subject.open_feed(few).batches(Plan.of(few.ids, LABEL_SAMPLE))))
    labels = batch.labels[:, 0]
    rng = torch.Generator().manual_seed(subject.seed)
    shape = len(labels), *subject.task.shape(subject.data)
    outputs = torch.randn(shape, generator=rng).to(subject.device)
    if subject.data.target == "boxes":
        others = labels.roll(1, 0)
    elif labels.is_floating_point():
        labels = labels.reshape(shape)
        others = labels + 1
    elif labels.dtype == torch.bool:
        others = ~labels
    else:
        others = (labels + 1) % len(subject.data.classes)
        others = torch.where(labels == ignored(subject.task), labels, others)
    loss = subject.loss
    judged = [
        subject.task.judged(loss.forward, loss.denominator, outputs, each)[0]
        for each in (labels, others)
    ]
    same = torch.equal(*judged)
    if same and (labels.dtype == torch.bool or len(subject.data.classes) != 1):
        return Check("loss of labels", False, "the loss does not depend on the labels")
    return Check("loss of labels", True, "the loss depends on the labels")


class FirstSteps:
    """Trains a few steps from the initial weights with all components of the run.

    `fit` must skip non-finite steps, which are findings here, not errors, and use `miner`.
    """

    def __init__(self, subject: Subject, fit: Fit, miner: CountedMiner, batches: int) -> None:
        self.subject = subject
        self.fit = fit
        self.miner = miner
        self.batches = batches
        self.lr_setting = f"optimizer.lr={base_lr(fit.optimizer):g}"
        self.idle_at_first: list[str] = []
        self.idle_at_last: list[str] = []

    def checks(self) -> list[Check]:
        """Train; check the miner's hooks and state, the losses and the gradients."""
        fit, calls = self.fit, self.miner.calls
        self.subject.reset()  # `check_start` has updated BatchNorm's statistics
        fit.planner.refresh(0, fit.scan)
        plan = fit.planner.plan(0)
        before = fit.progress.cost.backward
        losses, rows = self.train(plan)
        trained = (fit.progress.cost.backward - before) / rows
        called = ", ".join(f"{name} {calls[name]}" for name in HOOKS if calls[name])
        detail = f"hook calls: {called or 'none'}; {trained:.0%} of the rows backpropagated"
        # Without a finite loss there is nothing to observe, and `check_losses` reports why.
        last = "observe" if self.miner.observes else "select"
        hooked = calls[last] > 0 or not any(map(math.isfinite, losses))
        mining = Check(f"mining {option_of(self.miner.wrapped)}", hooked, detail)
        checks = [mining, check_state(fit), self.check_losses(plan, losses)]
        return [*checks, self.check_gradients()] if checks[-1].passed else checks

    def train(self, plan: Plan, factor: float = 1.0) -> tuple[list[float], int]:
        """Train at the run's learning rate times `factor`.

        Returns the loss of each step, NaN where it was skipped, and the number of rows.
        """
        fit, rows, losses = self.fit, 0, []
        bounds, optimizer = plan.bounds.tolist(), fit.optimizer
        cut = fit.step.cut(plan, StepId(fit.seed, 0, 0))
        for i, batch in enumerate(islice(fit.train_feed.batches(plan, cut=cut), self.batches)):
            fit.learning_rate.apply(optimizer, i)
            for group in optimizer.param_groups:
                group["lr"] *= factor
            fit.step(batch, StepId(fit.seed, 0, i), bounds[i])
            fit.guard.read_flag()
            fit.meter.flush()
            rows += len(batch)
            self.subject.poll()
            loss = fit.meter.take_interval().get("loss", math.nan)
            if self.miner.delays and math.isnan(loss):
                continue  # there was no full batch yet
            self.idle_at_last = self.idle()
            self.idle_at_first = self.idle_at_first if losses else self.idle_at_last
            losses.append(loss)
        return losses or [math.nan], rows

    def check_losses(self, plan: Plan, losses: list[float]) -> Check:
        """Check that the loss does not explode; if it turns non-finite, retry at a lower rate."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        first, last = losses[0], losses[-1]
        if not math.isfinite(first):
            text = "the loss or its gradient is not finite at the first step"
            return Check("first steps", False, text)
        peak = max(finite)
        text = f"{self.lr_setting} is too high: the loss went from {first:.2g} to {peak:.2g}"
        grown = first > 0 and peak > GROWTH * first
        if len(finite) < len(losses):
            self.subject.reset()
            if not grown and not all(map(math.isfinite, self.train(plan, EASED)[0])):
                text = f"the loss turns non-finite, even at a hundredth of {self.lr_setting}"
            else:
                text = f"{text}, then turned non-finite"
            return Check("first steps", False, text)
        if grown and last > first:
            return Check("first steps", False, text)
        detail = f"the loss went from {first:.3g} to {last:.3g} in {count(len(losses), 'step')}"
        return Check("first steps", True, detail)

    def check_gradients(self) -> Check:
        """Check that no parameter's gradient is all zeros at the last batch.

        At the first batch it may be: a head of zeros passes no gradient back.
        """
        idle = self.idle_at_last
        names = ", ".join(idle[:3])
        if lost := [name for name in idle if name not in self.idle_at_first]:
            text = f"{self.lr_setting} is too high: after a few steps {lost[0]} gets no gradient"
            return Check("gradients", False, text)
        if idle:
            text = f"{names} get no gradient; job=diagnose shows where it is lost"
            return Check("gradients", False, text)
        return Check("gradients", True, f"norm {self.fit.step.norm.item():.3g} at the last batch")

    def idle(self) -> list[str]:
        """List the trainable parameters whose gradient is missing or all zeros."""
        parameters = self.fit.model.named_parameters()
        return [
            n for n, p in parameters if p.requires_grad and (p.grad is None or not p.grad.any())
        ]


def check_state(fit: Fit) -> Check:
    """Check that the miner's state can be saved and loaded."""
    buffer = io.BytesIO()
    torch.save(fit.miner.state_dict(), buffer)
    buffer.seek(0)
    fit.miner.load_state_dict(torch.load(buffer, weights_only=True))
    detail = f"{buffer.getbuffer().nbytes:,} bytes, written and read back"
    return Check("mining state", True, detail)
