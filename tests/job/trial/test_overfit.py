"""Results on other examples against chance, and the conclusion drawn from them."""

import pytest
import torch
from support import make_run
from torch import nn

from trainer.job.trial.first_steps import evenly
from trainer.job.trial.overfit import (
    Generalisation,
    Memorisation,
    check_generalises,
    conclusion,
    generalisation,
)

OWN = Generalisation("training", "accuracy", 1.0, 0.1, 0.01, 1)


@pytest.mark.parametrize(("number", "ids"), [(4, [0, 2, 5, 7]), (10, list(range(10))), (99, None)])
def test_examples_are_spaced_evenly(noise, number, ids):
    """In a split sorted by class, the first rows would all be of one class."""
    split = evenly(noise(examples=10), number)
    assert split.ids.tolist() == (list(range(10)) if ids is None else ids)


@pytest.mark.parametrize(
    ("value", "spread", "sign", "beats"),
    [
        (0.131, 0.01, 1, True),  # 3.1 deviations over a chance of 0.1
        (0.129, 0.01, 1, False),
        (0.069, 0.01, 1, False),  # worse than chance
        (0.069, 0.01, -1, True),  # an error that is lower
        (0.5, 0.0, 1, False),  # shuffling the targets changes nothing
        (0.1 + 1e-8, 1e-9, 1, False),  # rounding
    ],
)
def test_three_deviations_beat_chance(value, spread, sign, beats):
    assert Generalisation("val", "accuracy", value, 0.1, spread, sign).beats_chance is beats


@pytest.mark.parametrize(
    ("answers", "training", "passed", "parts"),
    [
        (
            [(0.80, 0.02), (0.75, 0.02)],
            None,
            True,
            ["val accuracy 0.80, chance 0.10", "unseen training accuracy 0.75, chance 0.10"],
        ),
        (
            [(0.11, 0.02), (0.12, 0.02)],
            OWN,
            False,
            ["labels do not match", "val accuracy 0.11", "(0.10)", "training accuracy 1.00"],
        ),
        (
            [(0.80, 0.02), (0.12, 0.02)],
            OWN,
            False,
            ["labels do not match", "unseen training accuracy 0.12", "training accuracy 1.00"],
        ),
        (  # 5 deviations are more than a fifth of the gain on the training examples, 0.9
            [(0.11, 0.04)],
            OWN,
            True,
            ["too few examples", "val accuracy 0.11, chance 0.10", "training accuracy 1.00"],
        ),
        ([(0.80, 0.02), (0.12, 0.04)], OWN, True, ["val accuracy 0.80"]),
        (  # not even the training examples are learned
            [(0.11, 0.004)],
            Generalisation("training", "accuracy", 0.12, 0.1, 0.01, 1),
            True,
            ["too few examples", "val accuracy 0.11, chance 0.10", "training accuracy 0.12"],
        ),
        ([], None, True, ["too few examples", "no other examples"]),
    ],
)
def test_the_conclusion_weighs_the_results_on_other_examples(answers, training, passed, parts):
    names = "val", "unseen training"
    results = [
        Generalisation(name, "accuracy", value, 0.1, spread, 1)
        for name, (value, spread) in zip(names, answers, strict=False)
    ]
    check = conclusion(results, training)
    assert check.passed is passed
    for part in parts:
        assert part in check.detail


class Fixed(nn.Module):
    """Predicts class 3 for every image, or the given labels in order."""

    def __init__(self, labels: torch.Tensor | None = None):
        super().__init__()
        self.labels = labels
        self.at = 0

    def forward(self, images):
        labels = torch.full((len(images),), 3)
        if self.labels is not None:
            labels = self.labels[self.at : self.at + len(images)]
            self.at += len(images)
        return nn.functional.one_hot(labels, 10) * 9.0


def test_chance_is_the_metric_under_shuffled_targets(tmp_path, subject_of):
    """Perfect: 1, with shuffled targets Σ p_c². Always class 3: its share in both cases."""
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    val = run.data.val
    labels = val.labels[val.ids]
    parts = labels.bincount() / len(labels)
    run.model, run.forward.model = Fixed(labels), Fixed(labels)
    subject = subject_of(run)
    right = generalisation(subject, val, "val")
    assert right is not None
    assert right.value == 1
    assert right.chance == pytest.approx((parts**2).sum().item(), abs=0.02)
    assert right.spread == pytest.approx((0.09 / len(labels)) ** 0.5, rel=0.4)
    assert right.beats_chance
    run.forward.model = Fixed()
    constant = generalisation(subject, val, "val")
    assert constant is not None
    assert constant.value == pytest.approx(parts[3].item())
    assert constant.chance == pytest.approx(parts[3].item())
    assert not constant.beats_chance
    assert generalisation(subject, evenly(val, 1), "val") is None


def test_the_learning_rate_warms_up_to_the_optimizers_times_the_factor(tmp_path, subject_of):
    run = make_run(tmp_path, "device=cpu", "model=mlp", "optimizer.lr=0.4", "batch_size=4")
    training = Memorisation(subject_of(run), evenly(run.data.train, 64), 100, 0.1)
    assert training.lr_setting == "optimizer.lr=0.04"
    group = training.assembly.optimizer.param_groups[0]
    training.epoch()
    assert training.taken == 16
    assert group["lr"] == pytest.approx(0.04 * 16 / 20)
    training.epoch()
    assert group["lr"] == pytest.approx(0.04)


def test_the_few_examples_are_shuffled(tmp_path, subject_of):
    """In order of class, a batch would have a single class."""
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    few = evenly(run.data.train, 64)
    training = Memorisation(subject_of(run), few, 100)
    assert training.few.ids.sort().values.equal(few.ids)
    assert not training.few.ids.equal(few.ids)


def test_training_examples_are_not_evaluated_as_unseen(tmp_path, monkeypatch, subject_of):
    """Neither the overfitted ones nor those of the second training."""
    evaluated = {}

    def spy(subject, split, name):
        evaluated[name] = split.ids
        return OWN

    monkeypatch.setattr("trainer.job.trial.overfit.generalisation", spy)
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    learned = evenly(run.data.train, 64)
    check_generalises(subject_of(run), learned, 500, 10)
    unseen = evaluated["unseen training"]
    assert not torch.isin(unseen, learned.ids).any()
    assert not torch.isin(unseen, evenly(run.data.train, 500).ids).any()
    assert len(unseen) > 700
    assert evaluated["val"].equal(run.data.val.ids)
