"""What the first steps show about a set-up: each check is one finding."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.dataset import Split
from trainer.mining import Epoch, Miner
from trainer.optimizer.shared.groups import base_lr

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.core.batch import Batch
    from trainer.dataset import Data
    from trainer.loader import Feed
    from trainer.loss import Loss
    from trainer.run.assemble import StepAssembly
    from trainer.task import Task
    from trainer.training.evaluate import Evaluator
    from trainer.training.fit import Fit

HOOKS = ("refresh", "sampler", "select", "weigh", "observe")
START_SAMPLE = 512  # examples that the loss at the start is taken from
MOST_OUTPUTS = 2**24  # numbers; where outputs are maps, fewer examples
START = (0.5, 5.0)  # times ln C that it may be
LABEL_SAMPLE = 16  # examples that other labels are tried on
GROWTH = 10.0  # times the loss at the start that it must not come to
EASED = 0.01  # part of the learning rate that is tried where the loss is not finite


@dataclass(frozen=True)
class Check:
    """One finding; one that did not pass says in a sentence what is wrong."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Subject:
    """The parts of a run that are tried out."""

    model: nn.Module
    initial: dict[str, Tensor]  # the model's first weights
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
        """Put the model's first weights back."""
        self.model.load_state_dict(self.initial)


def evenly(split: Split, number: int) -> Split:
    """At most `number` examples, evenly from the split: stratified where it is sorted by class."""
    number = min(number, len(split))
    at = torch.arange(number) * len(split) // max(number, 1)
    return Split(split.images, split.labels, split.ids[at])


@torch.no_grad()
def check_start(of: Subject) -> Check:
    """The loss of the untrained model, in training mode, against that of a uniform guess, ln C."""
    size = min(START_SAMPLE, max(8, MOST_OUTPUTS // math.prod(of.task.shape(of.data))))
    few = evenly(of.data.train, size)
    feed = of.open_feed(few)
    seed_torch(of.device, of.seed, Purpose.STEP, 0)  # dropout is on
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in of.evaluator.outputs(feed, few.ids, of.poll)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    evaluation = of.evaluator.judge(few.ids, outputs, labels)
    bad = few.ids[~torch.isfinite(evaluation.records["loss"])].tolist()
    if bad:
        return Check("loss at start", False, f"the loss of examples {bad[:5]} is not finite")
    if not of.data.classes:
        detail = "mse {mse:.3g}, r2 {r2:.3g}; predicting the mean has r2 0"
        return Check("loss at start", True, detail.format(**evaluation.metrics))
    nll = F.cross_entropy(outputs, labels, ignore_index=ignored(of.task)).item()
    expected = math.log(len(of.data.classes))
    detail = f"the negative log likelihood at the start is {nll:.4g}, ln C is {expected:.4g}"
    passed = START[0] * expected < nll < START[1] * expected
    return Check(
        "loss at start", passed, detail if passed else f"{detail}; job=diagnose shows more"
    )


def ignored(task: Task) -> int:
    """The label of ignored pixels, -1 where there is none."""
    return -1 if task.ignore_index is None else task.ignore_index


def check_labels(of: Subject) -> Check:
    """The loss of given outputs must change with the labels."""
    few = evenly(of.data.train, LABEL_SAMPLE)
    batch = next(iter(of.open_feed(few).batches(Plan.of(few.ids, LABEL_SAMPLE))))
    labels = batch.labels[:, 0]
    rng = torch.Generator().manual_seed(of.seed)
    shape = len(labels), *of.task.shape(of.data)
    outputs = torch.randn(shape, generator=rng).to(of.device)
    if labels.is_floating_point():
        labels = labels.reshape(shape)
        others = labels + 1
    else:
        others = (labels + 1) % len(of.data.classes)
        others = torch.where(labels == ignored(of.task), labels, others)
    same = torch.equal(of.loss.forward(outputs, labels), of.loss.forward(outputs, others))
    if same and len(of.data.classes) != 1:
        return Check("loss of labels", False, "the loss does not depend on the labels")
    return Check("loss of labels", True, "other labels, another loss")


class CountedMiner(Miner):
    """The run's miner, active from the first epoch, with the calls of its hooks counted."""

    def __init__(self, own: Miner) -> None:
        super().__init__(score=own.score, rank_by=own.rank_by)
        own.warmup_epochs = 0
        self.own = own
        self.pooled, self.per_pixel = own.pooled, own.per_pixel
        self.calls: Counter[str] = Counter()

    @property
    def observes(self) -> bool:
        """Whether the run's miner does."""
        return self.own.observes

    def prepare(self, labels: Tensor) -> None:
        """Prepare the run's miner."""
        self.own.prepare(labels)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """The run's miner's hook, counted; so are the four that follow."""
        self.calls["refresh"] += 1
        self.own.refresh(epoch, scan)

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """Change the plan of an epoch."""
        self.calls["sampler"] += 1
        return self.own.sampler(plan, epoch)

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """Select rows before the training pass."""
        self.calls["select"] += 1
        return self.own.select(batch, rank, step_id)

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weights and counts from the ranks."""
        self.calls["weigh"] += 1
        return self.own.weigh(ranks, batch, step_id)

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Remember ranks."""
        self.calls["observe"] += 1
        self.own.observe(batch, ranks)

    def state_dict(self) -> dict[str, Any]:
        """The run's miner's state."""
        return self.own.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.own.load_state_dict(state)


class FirstSteps:
    """A few steps from the first weights, with every part of the run.

    `fit` skips non-finite steps: here they are findings, not errors. Its miner is `miner`.
    """

    def __init__(self, of: Subject, fit: Fit, miner: CountedMiner, batches: int) -> None:
        self.of = of
        self.fit = fit
        self.miner = miner
        self.batches = batches
        self.rate = f"optimizer.lr={base_lr(fit.optimizer):g}"
        self.idle_at_first: list[str] = []

    def checks(self) -> list[Check]:
        """Check every hook of the miner, the losses, the gradients."""
        fit, calls = self.fit, self.miner.calls
        self.of.reset()  # BatchNorm has seen the examples of the start
        fit.planner.refresh(0, fit.scan)
        plan = fit.planner.plan(0)
        before = fit.progress.cost.backward
        losses, rows = self.train(plan)
        trained = (fit.progress.cost.backward - before) / rows
        called = ", ".join(f"{name} {calls[name]}" for name in HOOKS if calls[name])
        detail = f"{called or 'no'} calls; {trained:.0%} of the rows went backward"
        # Where no step was taken there was nothing to observe, and the losses say why.
        last = "observe" if self.miner.observes else "select"
        hooked = calls[last] > 0 or not any(map(math.isfinite, losses))
        mining = Check(f"mining {type(self.miner.own).__name__}", hooked, detail)
        checks = [mining, check_state(fit), self.check_losses(plan, losses)]
        return [*checks, self.check_gradients()] if checks[-1].passed else checks

    def train(self, plan: Plan, factor: float = 1.0) -> tuple[list[float], int]:
        """Train at the run's learning rate times `factor`.

        Returns each step's loss, NaN where none was taken, and the rows of all.
        """
        fit, rows, losses = self.fit, 0, []
        bounds, optimizer = plan.bounds.tolist(), fit.optimizer
        for i, batch in enumerate(islice(fit.train_feed.batches(plan), self.batches)):
            fit.learning_rate.apply(optimizer, i)
            for group in optimizer.param_groups:
                group["lr"] *= factor
            fit.step(batch, StepId(fit.seed, 0, i), bounds[i])
            fit.guard.read_flag()
            fit.meter.flush()
            self.idle_at_first = self.idle_at_first if i else self.idle()
            losses.append(fit.meter.take_interval().get("loss", math.nan))
            rows += len(batch)
            self.of.poll()
        return losses, rows

    def check_losses(self, plan: Plan, losses: list[float]) -> Check:
        """Check whether the loss explodes. If it only becomes non-finite, try a lower rate."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        first, last = losses[0], losses[-1]
        if not math.isfinite(first):
            what = "the loss or its gradient is not finite at the first step"
            return Check("first steps", False, what)
        peak = max(finite)
        what = f"{self.rate} is too high: the loss went from {first:.2g} to {peak:.2g}"
        grown = first > 0 and peak > GROWTH * first
        if len(finite) < len(losses):
            self.of.reset()
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
        """Check that each parameter's gradient is not all zeros at the last batch.

        At the first one it may be: behind a head of zeros there is none.
        """
        idle = self.idle()
        names = ", ".join(idle[:3])
        if lost := [name for name in idle if name not in self.idle_at_first]:
            what = f"{self.rate} is too high: after a few steps {lost[0]} gets no gradient"
            return Check("gradients", False, what)
        if idle:
            what = f"{names} get no gradient; job=diagnose shows where it is lost"
            return Check("gradients", False, what)
        return Check("gradients", True, f"norm {self.fit.step.norm.item():.3g} at the last batch")

    def idle(self) -> list[str]:
        """Names of the trainable parameters whose gradient is missing or all zeros."""
        named = self.fit.model.named_parameters()
        return [n for n, p in named if p.requires_grad and (p.grad is None or not p.grad.any())]


def check_state(fit: Fit) -> Check:
    """Save the miner's state and load it again."""
    buffer = io.BytesIO()
    torch.save(fit.miner.state_dict(), buffer)
    buffer.seek(0)
    fit.miner.load_state_dict(torch.load(buffer, weights_only=True))
    detail = f"{buffer.getbuffer().nbytes:,} bytes, written and read back"
    return Check("mining state", True, detail)
