"""Whether the model can overfit a few examples, and whether what it learns generalises."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.core.duration import Clock
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.dataset import Split
from trainer.job.trial.first_steps import GROWTH, MOST_OUTPUTS, Check, Subject, evenly
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer
from trainer.optimizer.shared.groups import base_lr

EASING = 20  # first steps, in which the learning rate rises to the optimizer's own
PAUSE = 1.1  # times the steps taken at the last evaluation, after which the next one is
RAISED, LOWERED = 10.0, 0.1  # times the rate: what is tried where it is too low or too high
FALL = 0.1  # of the loss before: what it must fall by
ASKED = 2000  # examples at most of each split that are asked
SHUFFLES = 30
DEVIATIONS = 3.0  # of the value under shuffled targets, that make a difference
ROUNDING = 1e-6
LEAST_GAIN = 0.2  # of the gain on the training examples: what could be missed is no more
METRICS = {"class": "accuracy", "mask": "mean_iou", "vector": "r2", "image": "r2"}


class Memorisation:
    """Trains on a few examples, unaugmented, unmixed and unmined, for a limited number of steps.

    The learning rate is the optimizer's own times `factor`. Non-finite steps are skipped.
    """

    def __init__(self, of: Subject, few: Split, most: int, factor: float = 1.0) -> None:
        self.of = of
        self.made = of.new_step(
            Clock(1, most), miner=NoMiner(), mixer=NoMixer(), augmentation=[], tolerant=True
        )
        optimizer = self.made.optimizer
        self.rates = [factor * group["lr"] for group in optimizer.param_groups]
        self.rate = f"optimizer.lr={factor * base_lr(optimizer):g}"
        self.most = most
        self.taken = 0
        rng = torch.Generator().manual_seed(of.seed)
        order = torch.randperm(len(few), generator=rng)  # a batch of one class teaches nothing
        self.few = replace(few, ids=few.ids[order])
        self.feed = of.open_feed(self.few)

    def epoch(self) -> None:
        """Train on each of the examples once."""
        size = min(self.of.batch_size, len(self.few))
        for batch in self.feed.batches(Plan.of(self.few.ids, size)):
            part = min(1.0, (self.taken + 1) / EASING)
            groups = self.made.optimizer.param_groups
            for group, rate in zip(groups, self.rates, strict=True):
                group["lr"] = part * rate
            self.made.step(batch, StepId(self.of.seed, 0, self.taken), 0)
            self.taken += 1
            self.of.poll()
        self.made.meter.flush()

    def judge(self) -> dict[str, float]:
        """The metrics of the examples."""
        return self.of.evaluator(self.feed, self.few, poll=self.of.poll).metrics

    def learn(self) -> tuple[dict[str, float], dict[str, float]]:
        """Train until the examples are memorised. Returns their metrics before and after."""
        before = after = self.judge()
        while not (self.over or self.of.task.learned(after)):
            due = self.taken * PAUSE
            while self.taken <= due and not self.over:
                self.epoch()
            after = self.judge()
        return before, after

    @property
    def over(self) -> bool:
        """Whether all steps are taken."""
        return self.taken >= self.most


def check_overfit(of: Subject, few: Split, most: int) -> Check:
    """Check that the model can memorise a few examples; if it does not, try another rate.

    A rate that learns, but too slowly for so few steps, passes.
    """
    first = Memorisation(of, few, most)
    before, after = first.learn()
    name = METRICS[of.data.target]
    examples = f"{len(few)} training examples"
    text = f"{name} {after[name]:.3f} on {examples} after {first.taken} steps"
    if of.task.learned(after):
        return Check("overfits", True, text)
    begin, end = before["loss"], after["loss"]
    if not end <= GROWTH * abs(begin):
        text = f"{first.rate} is too high: the loss went from {begin:.2g} to {end:.2g}"
        return Check("overfits", False, text)
    falls = end < begin - FALL * abs(begin)
    if falls:
        text = f"{text}; the loss falls from {begin:.3g} to {end:.3g}"
    else:
        change = f"{begin:.3g} at first, {end:.3g} after {first.taken} steps"
        text = f"the loss does not fall on {examples}: {change}"
    of.reset()
    other = Memorisation(of, few, most, RAISED if falls else LOWERED)
    learned = of.task.learned(other.learn()[1])
    if learned:
        text = f"{text}; with {other.rate} they are learned in {other.taken} steps"
    else:
        text = f"{text}; nor are they learned with {other.rate}"
    return Check("overfits", learned and falls, text)


@dataclass(frozen=True)
class Generalisation:
    """A metric of a split, and the same with its targets shuffled among its examples."""

    split: str
    metric: str
    value: float
    chance: float  # the mean over shuffles
    spread: float  # their deviation
    sign: int  # -1 where a low value is a good one

    @property
    def gain(self) -> float:
        """How much better than chance it is."""
        return self.sign * (self.value - self.chance)

    @property
    def varied(self) -> bool:
        """Whether an example's target makes a difference beyond rounding."""
        return self.spread > ROUNDING * abs(self.chance)

    @property
    def known(self) -> bool:
        """Whether it is clearly better than chance."""
        return self.varied and self.gain > DEVIATIONS * self.spread

    def would_show(self, gain: float) -> bool:
        """Whether a gain of this size would have been detected."""
        return self.varied and (DEVIATIONS + 2) * self.spread < gain

    def shown(self, value: float) -> str:
        """A value as it is printed."""
        return f"{value:.2f}" if self.sign > 0 else f"{value:.3g}"

    def __str__(self) -> str:
        return f"{self.split} {self.metric} {self.shown(self.value)}"


@torch.no_grad()
def generalisation(of: Subject, split: Split, name: str) -> Generalisation | None:
    """The model's metric on a split, against chance; None where the split is too small to tell.

    With shuffled targets the outputs carry no information about them: what is left is the result
    of predicting each class, or value, as often as the model does.
    """
    size = min(ASKED, max(8, MOST_OUTPUTS // 4 // math.prod(of.task.shape(of.data))))
    some = evenly(split, size)
    if len(some) < 2:
        return None
    feed = of.open_feed(some)
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in of.evaluator.passes(feed, some.ids, of.poll)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    metric, field = next(iter(of.task.tracked.items()))

    def value(labels: Tensor) -> float:
        return of.task.records(outputs, labels)[field].double().mean().item()

    rng = torch.Generator().manual_seed(of.seed)
    orders = [torch.randperm(len(some), generator=rng) for _ in range(SHUFFLES)]
    shuffled = torch.tensor(
        [value(labels[order.to(labels.device)]) for order in orders], dtype=torch.float64
    )
    sign = -1 if metric == "mae" else 1
    mean, spread = shuffled.mean().item(), shuffled.std().item()
    return Generalisation(name, metric, value(labels), mean, spread, sign)


def check_generalises(of: Subject, learned: Split, number: int, most: int) -> Check:
    """Check that what is learned carries over to other examples, of val and of training.

    The model that memorised `learned` is evaluated first. Unless it is clearly better than chance,
    the model is trained anew on `number` examples, and evaluated now and then.
    """
    train = of.data.train
    few = evenly(train, min(number, max(1, 3 * len(train) // 4)))
    seen = torch.isin(train.ids, torch.cat([few.ids, learned.ids]))
    splits = {"val": of.data.val, "unseen training": replace(train, ids=train.ids[~seen])}

    def asked() -> list[Generalisation]:
        answers = (generalisation(of, split, name) for name, split in splits.items())
        return [answer for answer in answers if answer is not None]

    answers = asked()
    if all(answer.known for answer in answers):
        return conclusion(answers, None)
    of.reset()
    training = Memorisation(of, few, most)
    due = 1
    while not (training.over or all(answer.known for answer in answers)):
        for _ in range(due):
            if not training.over:
                training.epoch()
        if of.task.learned(training.judge()):
            training.most = training.taken
        answers, due = asked(), 2 * due
    return conclusion(answers, generalisation(of, few, "training"))


def conclusion(answers: list[Generalisation], own: Generalisation | None) -> Check:
    """The finding from other examples' results and those of the training examples, `own`.

    Labels are wrong only where the training examples are above chance and the others, had they
    been too, would have been detected.
    """
    gain = LEAST_GAIN * own.gain if own is not None and own.known else 0.0
    for answer in answers:
        if not answer.known and answer.would_show(gain):
            text = f"{answer} is chance ({answer.shown(answer.chance)}), {own}"
            return Check("generalises", False, f"labels do not match the images: {text}")
    results = "; ".join(f"{answer}, chance {answer.shown(answer.chance)}" for answer in answers)
    if any(answer.known for answer in answers):
        return Check("generalises", True, results)
    results = f"{results}; {own}" if answers else "there are no other examples"
    return Check("generalises", True, f"unknown, too few examples to tell: {results}")
