"""Cyclical learning rates."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR

from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.schedule.cyclic import Cyclic
from trainer.training.learning_rate import LearningRate
from trainer.warmup.none import NoWarmup

MODES = [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.97)]


def test_by_hand(follow):
    """From 0.1 up to 0.5 in 4 steps and down in 2."""
    got = follow(Cyclic(base_lr=0.1, max_lr=0.5, step_size_up="4st", step_size_down="2st"))
    assert got[:9] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.3, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(("mode", "gamma"), MODES)
@pytest.mark.parametrize("down", [None, 3, 7])
def test_equals_torch_at_every_step(follow, follow_torch, mode, gamma, down):
    shared = {"base_lr": 0.05, "max_lr": 0.5, "mode": mode, "gamma": gamma}
    expected = follow_torch(
        CyclicLR, 100, step_size_up=5, step_size_down=down, cycle_momentum=False, **shared
    )
    sizes = {"step_size_up": "1ep", "step_size_down": down and f"{down}st"}
    assert follow(Cyclic(**sizes, **shared), 100) == pytest.approx(expected, rel=1e-9)


def test_thousands_of_cycles_do_not_overflow(follow):
    """2^1250 would overflow a float."""
    got = follow(Cyclic(base_lr=0.1, mode="triangular2", step_size_up="2st"), 5000)
    assert (got[2], got[6], got[4998]) == pytest.approx((0.4, 0.25, 0.1))


def test_max_lr_defaults_to_the_rate_of_the_optimizer(follow):
    got = follow(Cyclic(step_size_up="1ep"))
    assert (max(got), min(got)) == pytest.approx((0.4, 0.1))


def test_the_rate_changes_at_each_step(follow):
    got = follow(Cyclic(step_size_up="1ep"))
    assert len(set(got[:6])) == 6


@pytest.mark.parametrize(("mode", "gamma"), MODES)
def test_momentum_falls_as_the_rate_rises_as_in_torch(mode, gamma):
    shared = {"base_lr": 0.05, "max_lr": 0.5, "mode": mode, "gamma": gamma, "cycle_momentum": True}
    theirs, ours = (
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9) for _ in range(2)
    )
    scheduler = CyclicLR(theirs, step_size_up=5, **shared)
    rate = LearningRate(Cyclic(step_size_up="1ep", **shared), NoWarmup(), 0.4, Clock(5, 40))
    for t in range(40):
        rate.apply(ours, t)
        for key in ("lr", "momentum"):
            assert ours.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key]), key
        theirs.step()
        scheduler.step()


def test_by_default_momentum_is_that_of_the_optimizer():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.4)
    LearningRate(Cyclic(), NoWarmup(), 0.4, Clock(5, 40)).apply(optimizer, 7)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("kind", [torch.optim.Adagrad, torch.optim.SGD])
def test_cycling_adds_no_momentum_to_an_optimizer_without_one(kind):
    """torch's scheduler would add momentum to plain SGD."""
    optimizer = kind([nn.Parameter(torch.zeros(1))], lr=0.4)
    rate = LearningRate(Cyclic(cycle_momentum=True), NoWarmup(), 0.4, Clock(5, 40))
    with pytest.raises(
        ConfigError, match=rf"schedule\.cycle_momentum=true: {kind.__name__} has no"
    ):
        rate.apply(optimizer, 0)


def test_a_cycle_may_be_longer_than_the_run(follow):
    assert follow(Cyclic(step_size_up="80st"))[40] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_lr", -0.1),
        ("max_lr", 0.0),
        ("step_size_up", "0st"),
        ("step_size_down", "2000"),
        ("gamma", 0.0),
        ("base_momentum", 1.0),
        ("max_momentum", -0.1),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Cyclic(**{setting: value})


def test_base_lr_above_max_lr_is_refused():
    with pytest.raises(ValueError, match=r"schedule\.max_lr must be in \[0\.5, inf\), got 0\.1"):
        Cyclic(base_lr=0.5, max_lr=0.1)
