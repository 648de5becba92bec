"""Checks that the model can overfit a few examples and generalises to others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.core.duration import Clock
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.core.text import count
from trainer.dataset import Split
from trainer.job.trial.first_steps import GROWTH, MOST_OUTPUTS, Check, Subject, evenly
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer
from trainer.optimizer.shared.groups import base_lr

WARMUP = 20  # steps in which the learning rate rises linearly to the optimizer's own
PAUSE = 1.1  # factor between the numbers of steps at successive evaluations
RAISED, LOWERED = 10.0, 0.1  # factors of the learning rate tried if it seems too low or too high
FALL = 0.1  # fraction of the initial loss that counts as a fall
MOST_EXAMPLES = 2000  # evaluated per split
SHUFFLES = 30
DEVIATIONS = 3.0  # standard deviations above chance that count as better than chance
ROUNDING = 1e-6
LEAST_GAIN = 0.2  # fraction of the gain on training examples that must be detectable
METRICS = {
    "class": "accuracy",
    "multilabel": "mAP",
    "mask": "mean_iou",
    "vector": "r2",
    "image": "r2",
    "boxes": "map_50",
}


class Memorisation:
    """Trains for at most `max_steps` on a few examples, without augmentation, mixing or mining.

    The learning rate is the optimizer's own times `factor`. Non-finite steps are skipped.
    """

    def __init__(self, subject: Subject, few: Split, max_steps: int, factor: float = 1.0) -> None:
        self.subject = subject
        self.assembly = subject.new_step(
            Clock(1, max_steps), miner=NoMiner(), mixer=NoMixer(), augmentation=[], tolerant=True
        )
        optimizer = self.assembly.optimizer
        self.lrs = [factor * group["lr"] for group in optimizer.param_groups]
        self.lr_setting = f"optimizer.lr={factor * base_lr(optimizer):g}"
        self.max_steps = max_steps
        self.taken = 0
        rng = torch.Generator().manual_seed(subject.seed)
        order = torch.randperm(len(few), generator=rng)  # no batches of a single class
        self.few = replace(few, ids=few.ids[order])
        self.feed = subject.open_feed(self.few)

    def epoch(self) -> None:
        """Train on each of the examples once."""
        size = min(self.subject.batch_size, len(self.few))
        for batch in self.feed.batches(Plan.of(self.few.ids, size)):
            ramp = min(1.0, (self.taken + 1) / WARMUP)
            groups = self.assembly.optimizer.param_groups
            for group, lr in zip(groups, self.lrs, strict=True):
                group["lr"] = ramp * lr
            self.assembly.step(batch, StepId(self.subject.seed, 0, self.taken), 0)
            self.taken += 1
            self.subject.poll()
        self.assembly.meter.flush()

    def metrics(self) -> dict[str, float]:
        """Evaluate the model on the examples."""
        return self.subject.evaluator(self.feed, self.few, poll=self.subject.poll).metrics

    def learn(self) -> tuple[dict[str, float], dict[str, float]]:
        """Train until the examples are memorised. Returns their metrics before and after."""
        before = after = self.metrics()
        while not (self.finished or self.subject.task.learned(after)):
            due = self.taken * PAUSE
            while self.taken <= due and not self.finished:
                self.epoch()
            after = self.metrics()
        return before, after

    def finish(self) -> None:
        """End the training: count the steps taken as all of them."""
        self.max_steps = self.taken

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.taken >= self.max_steps


def check_overfit(subject: Subject, few: Split, max_steps: int) -> Check:
    """Check that the model can overfit a few examples; if not, try another learning rate.

    Passes if the loss falls and ten times the learning rate would overfit them in time.
    """
    first = Memorisation(subject, few, max_steps)
    before, after = first.learn()
    name = METRICS[subject.data.target]
    examples = f"{count(len(few), 'training example')}"
    text = f"{name} {after[name]:.3f} on {examples} after {count(first.taken, 'step')}"
    if subject.task.learned(after):
        return Check("overfits", True, text)
    begin, end = before["loss"], after["loss"]
    if not end <= GROWTH * abs(begin):
        text = f"{first.lr_setting} is too high: the loss went from {begin:.2g} to {end:.2g}"
        return Check("overfits", False, text)
    falls = end < begin - FALL * abs(begin)
    if falls:
        text = f"{text}; the loss falls from {begin:.3g} to {end:.3g}"
    else:
        change = f"{begin:.3g} at first, {end:.3g} after {count(first.taken, 'step')}"
        text = f"the loss does not fall on {examples}: {change}"
    subject.reset()
    other = Memorisation(subject, few, max_steps, RAISED if falls else LOWERED)
    learned = subject.task.learned(other.learn()[1])
    if learned:
        text = f"{text}; {other.lr_setting} learns them in {count(other.taken, 'step')}"
    else:
        text = f"{text}; {other.lr_setting} does not learn them either"
    return Check("overfits", learned and falls, text)


@dataclass(frozen=True)
class Generalisation:
    """A metric on a split, compared with its values when the targets are shuffled."""

    split: str
    metric: str
    value: float
    chance: float  # mean over shuffles
    spread: float  # standard deviation over shuffles
    sign: int  # -1 if lower is better

    @property
    def gain(self) -> float:
        """By how much the value is better than chance."""
        return self.sign * (self.value - self.chance)

    @property
    def varied(self) -> bool:
        """Whether shuffling the targets changes the metric by more than rounding."""
        return self.spread > ROUNDING * abs(self.chance)

    @property
    def beats_chance(self) -> bool:
        """Whether the value is significantly better than chance."""
        return self.varied and self.gain > DEVIATIONS * self.spread

    def would_show(self, gain: float) -> bool:
        """Whether a gain of this size would have been significant."""
        return self.varied and (DEVIATIONS + 2) * self.spread < gain

    def formatted(self, value: float) -> str:
        """Format a value of the metric for messages."""
        return f"{value:.2f}" if self.sign > 0 else f"{value:.3g}"

    def __str__(self) -> str:
        return f"{self.split} {self.metric} {self.formatted(self.value)}"


@torch.no_grad()
def generalisation(subject: Subject, split: Split, name: str) -> Generalisation | None:
    """Compare the model's metric on a split with chance; None for fewer than two examples.

    Chance is the metric with shuffled targets, about which the outputs hold no information: the
    result of predicting each class, or value, at random as often as the model does.
    """
    outputs_each = math.prod(subject.task.shape(subject.data))
    size = min(MOST_EXAMPLES, max(8, MOST_OUTPUTS // 4 // outputs_each))
    some = evenly(split, size)
    if len(some) < 2:
        return None
    feed = subject.open_feed(some)
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in subject.evaluator.passes(feed, some.ids, subject.poll)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    metric, field = next(iter(subject.task.tracked.items()))

    def value(labels: Tensor) -> float:
        return subject.task.records(outputs, labels)[field].double().mean().item()

    rng = torch.Generator().manual_seed(subject.seed)
    orders = [torch.randperm(len(some), generator=rng) for _ in range(SHUFFLES)]
    shuffled = torch.tensor(
        [value(labels[order.to(labels.device)]) for order in orders], dtype=torch.float64
    )
    sign = -1 if metric == "mae" else 1
    mean, spread = shuffled.mean().item(), shuffled.std().item()
    return Generalisation(name, metric, value(labels), mean, spread, sign)


def check_generalises(subject: Subject, learned: Split, number: int, max_steps: int) -> Check:
    """Check that the model generalises to examples of val and unseen ones of the training split.

    The model that has overfitted `learned` is evaluated first. Unless it beats chance, it is reset
    and trained on `number` examples, and evaluated after 1, 3, 7, 15, ... epochs.
    """
    train = subject.data.train
    few = evenly(train, min(number, max(1, 3 * len(train) // 4)))
    seen = torch.isin(train.ids, torch.cat([few.ids, learned.ids]))
    splits = {"val": subject.data.val, "unseen training": replace(train, ids=train.ids[~seen])}

    def evaluate() -> list[Generalisation]:
        results = (generalisation(subject, split, name) for name, split in splits.items())
        return [result for result in results if result is not None]

    results = evaluate()
    if all(result.beats_chance for result in results):
        return conclusion(results, None)
    subject.reset()
    training = Memorisation(subject, few, max_steps)
    epochs = 1
    while not (training.finished or all(result.beats_chance for result in results)):
        for _ in range(epochs):
            if not training.finished:
                training.epoch()
        if subject.task.learned(training.metrics()):
            training.finish()
        results, epochs = evaluate(), 2 * epochs
    return conclusion(results, generalisation(subject, few, "training"))


def conclusion(results: list[Generalisation], training: Generalisation | None) -> Check:
    """Decide from the results on other examples and, if evaluated, on the training examples.

    Labels do not match the images if the training examples beat chance, others do not, and a gain
    a fifth as large would have been significant on them.
    """
    gain = LEAST_GAIN * training.gain if training is not None and training.beats_chance else 0.0
    for result in results:
        if not result.beats_chance and result.would_show(gain):
            text = f"{result} is at chance ({result.formatted(result.chance)}), {training}"
            return Check("generalises", False, f"labels do not match the images: {text}")
    texts = [f"{result}, chance {result.formatted(result.chance)}" for result in results]
    if any(result.beats_chance for result in results):
        return Check("generalises", True, "; ".join(texts))
    text = "; ".join([*texts, str(training)]) if results else "there are no other examples"
    return Check("generalises", True, f"unknown, too few examples to tell: {text}")
