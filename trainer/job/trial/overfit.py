"""Whether a few examples can be learned by heart, and whether others profit from it."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.core.duration import Clock
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.dataset import Split
from trainer.job.trial.first_steps import GROWTH, MOST_OUTPUTS, Check, evenly, tolerant
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer
from trainer.optimizer.shared.groups import base_lr
from trainer.run.assemble import make_step

if TYPE_CHECKING:
    from trainer.run.run import Run

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
    """Trains on a few examples, unaugmented, unmixed and unmined, at most for some steps.

    The learning rate is the optimizer's own times `factor`.
    """

    def __init__(self, run: "Run", few: Split, most: int, factor: float = 1.0) -> None:
        run.miner, run.mixer, run.augmentation = NoMiner(), NoMixer(), []
        self.run = run
        self.step = tolerant(make_step(run, Clock(1, most)))
        optimizer = self.step.guard.optimizer
        self.rates = [factor * group["lr"] for group in optimizer.param_groups]
        self.rate = f"optimizer.lr={factor * base_lr(optimizer):g}"
        self.most = most
        self.taken = 0
        rng = torch.Generator().manual_seed(run.config["seed"])
        order = torch.randperm(len(few), generator=rng)  # a batch of one class would teach nothing
        self.few = replace(few, ids=few.ids[order])
        self.feed = run.loader.open(self.few, run.device)

    def epoch(self) -> None:
        """Train on each of the examples once."""
        size = min(self.run.batch_size, len(self.few))
        for batch in self.feed.batches(Plan.of(self.few.ids, size)):
            part = min(1.0, (self.taken + 1) / EASING)
            groups = self.step.guard.optimizer.param_groups
            for group, rate in zip(groups, self.rates, strict=True):
                group["lr"] = part * rate
            self.step(batch, StepId(self.run.config["seed"], 0, self.taken), 0)
            self.taken += 1
            self.run.signals.check()
        self.step.meter.flush()

    def judge(self) -> dict[str, float]:
        """Metrics of the examples."""
        return self.run.evaluator(self.feed, self.few, poll=self.run.signals.check).metrics

    def learn(self) -> tuple[dict[str, float], dict[str, float]]:
        """Train until the examples are learned by heart: their metrics before and after."""
        before = after = self.judge()
        while not (self.over or self.run.task.learned(after)):
            due = self.taken * PAUSE
            while self.taken <= due and not self.over:
                self.epoch()
            after = self.judge()
        return before, after

    @property
    def over(self) -> bool:
        """Whether no step is left."""
        return self.taken >= self.most


def check_overfit(run: "Run", initial: dict[str, Any], few: Split, most: int) -> Check:
    """A few examples must be learned by heart; if they are not, another rate is tried.

    A rate that learns, but too slowly for so few steps, is no fault.
    """
    lesson = Memorisation(run, few, most)
    before, after = lesson.learn()
    name = METRICS[run.data.target]
    examples = f"{len(few)} training examples"
    text = f"{name} {after[name]:.3f} on {examples} after {lesson.taken} steps"
    if run.task.learned(after):
        return Check("overfits", True, text)
    begin, end = before["loss"], after["loss"]
    if not end <= GROWTH * abs(begin):
        text = f"{lesson.rate} is too high: the loss went from {begin:.2g} to {end:.2g}"
        return Check("overfits", False, text)
    falls = end < begin - FALL * abs(begin)
    if falls:
        text = f"{text}; the loss falls from {begin:.3g} to {end:.3g}"
    else:
        change = f"{begin:.3g} at first, {end:.3g} after {lesson.taken} steps"
        text = f"the loss does not fall on {examples}: {change}"
    run.model.load_state_dict(initial)
    other = Memorisation(run, few, most, RAISED if falls else LOWERED)
    learned = run.task.learned(other.learn()[1])
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
        """How much better than chance."""
        return self.sign * (self.value - self.chance)

    @property
    def varied(self) -> bool:
        """Whether it makes a difference, beyond rounding, which target an example has."""
        return self.spread > ROUNDING * abs(self.chance)

    @property
    def known(self) -> bool:
        """Whether it is better than chance beyond doubt."""
        return self.varied and self.gain > DEVIATIONS * self.spread

    def would_show(self, gain: float) -> bool:
        """Whether a gain would have been known."""
        return self.varied and (DEVIATIONS + 2) * self.spread < gain

    def shown(self, value: float) -> str:
        """A value as it is printed."""
        return f"{value:.2f}" if self.sign > 0 else f"{value:.3g}"

    def __str__(self) -> str:
        return f"{self.split} {self.metric} {self.shown(self.value)}"


@torch.no_grad()
def ask(run: "Run", split: Split, name: str) -> Generalisation | None:
    """How the model does on a split beside chance; None where the split is too small to say.

    Under shuffled targets the outputs say nothing of them, and what is left is what comes of
    predicting each class, or value, as often as the model does.
    """
    size = min(ASKED, max(8, MOST_OUTPUTS // 4 // math.prod(run.task.shape(run.data))))
    some = evenly(split, size)
    if len(some) < 2:
        return None
    feed = run.loader.open(some, run.device)
    passes = [
        (batch.labels[:, 0], outputs)
        for batch, outputs in run.evaluator.passes(feed, some.ids, run.signals.check)
    ]
    labels, outputs = (torch.cat(part) for part in zip(*passes, strict=True))
    metric, field = next(iter(run.task.tracked.items()))

    def value(labels: Tensor) -> float:
        return run.task.records(outputs, labels)[field].double().mean().item()

    rng = torch.Generator().manual_seed(run.config["seed"])
    orders = [torch.randperm(len(some), generator=rng) for _ in range(SHUFFLES)]
    shuffled = torch.tensor(
        [value(labels[order.to(labels.device)]) for order in orders], dtype=torch.float64
    )
    sign = -1 if metric == "mae" else 1
    mean, spread = shuffled.mean().item(), shuffled.std().item()
    return Generalisation(name, metric, value(labels), mean, spread, sign)


def check_generalises(
    run: "Run", initial: dict[str, Any], learned: Split, number: int, most: int
) -> Check:
    """What was learned by heart must be of use for other examples: those of val, and of training.

    The model that learned some is asked first. Where it is not known to be better than chance, a
    new one is trained on `number` examples, and asked now and then.
    """
    train = run.data.train
    few = evenly(train, min(number, max(1, 3 * len(train) // 4)))
    seen = torch.isin(train.ids, torch.cat([few.ids, learned.ids]))
    splits = {"val": run.data.val, "unseen training": replace(train, ids=train.ids[~seen])}

    def asked() -> list[Generalisation]:
        answers = (ask(run, split, name) for name, split in splits.items())
        return [answer for answer in answers if answer is not None]

    answers = asked()
    if all(answer.known for answer in answers):
        return conclusion(answers, None)
    run.model.load_state_dict(initial)
    lesson = Memorisation(run, few, most)
    due = 1
    while not (lesson.over or all(answer.known for answer in answers)):
        for _ in range(due):
            if not lesson.over:
                lesson.epoch()
        if run.task.learned(lesson.judge()):
            lesson.most = lesson.taken
        answers, due = asked(), 2 * due
    return conclusion(answers, ask(run, few, "training"))


def conclusion(answers: list[Generalisation], own: Generalisation | None) -> Check:
    """What the answers of other examples say, beside that of those trained on.

    Labels are wrong only where the training examples are known and the others could have been.
    """
    gain = LEAST_GAIN * own.gain if own is not None and own.known else 0.0
    for answer in answers:
        if not answer.known and answer.would_show(gain):
            text = f"{answer} is chance ({answer.shown(answer.chance)}), {own}"
            return Check("generalises", False, f"labels do not go with the images: {text}")
    told = "; ".join(f"{answer}, chance {answer.shown(answer.chance)}" for answer in answers)
    if any(answer.known for answer in answers):
        return Check("generalises", True, told)
    told = f"{told}; {own}" if answers else "there are no others"
    return Check("generalises", True, f"not known, too little to tell by: {told}")
