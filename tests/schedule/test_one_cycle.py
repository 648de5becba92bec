"""The one-cycle schedule."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from trainer.core.duration import Clock
from trainer.schedule.one_cycle import OneCycle
from trainer.training.learning_rate import LearningRate
from trainer.warmup.none import NoWarmup

VARIANTS = [
    {},
    {"anneal_strategy": "linear"},
    {"three_phase": True},
    {"three_phase": True, "pct_start": 0.5, "anneal_strategy": "linear"},
    {"pct_start": 0.0},
    {"pct_start": 0.01, "div_factor": 2.0, "final_div_factor": 10.0},
]


def test_by_hand(follow):
    """0.25·40 − 1 = 9: from 0.02 to 0.5 in 9 linear steps; at 39 it is 0.5/25/1e4."""
    got = follow(OneCycle(max_lr=0.5, pct_start=0.25, anneal_strategy="linear"))
    assert [got[t] for t in (0, 3, 9, 24)] == pytest.approx([0.02, 0.18, 0.5, 0.250001])
    assert got[39] == pytest.approx(2e-6)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("total", [40, 7, 3])
def test_equals_torch_at_every_step_and_is_constant_after(follow, follow_torch, settings, total):
    """torch's scheduler raises an error past its end."""
    expected = follow_torch(
        OneCycleLR, total, max_lr=0.5, total_steps=total, cycle_momentum=False, **settings
    )
    got = follow(OneCycle(max_lr=0.5, total_steps=f"{total}st", **settings))
    assert got[:total] == pytest.approx(expected, rel=1e-9)
    assert got[total:] == [got[total - 1]] * (60 - total)


def test_an_empty_first_phase(follow):
    """pct_start·S = 1 ends the phase at step 0, where torch divides 0 by 0."""
    got = follow(OneCycle(total_steps="10st", pct_start=0.1))
    assert got[0] == 0.4
    assert got[9] == pytest.approx(0.4 / 25e4)


def test_an_empty_last_phase(follow):
    """The rate rises to the end and stays there; torch divides by 0."""
    got = follow(OneCycle(pct_start=1.0, anneal_strategy="linear", div_factor=2.0))
    assert [got[t] for t in (0, 13, 39, 59)] == pytest.approx([0.2, 0.2 + 0.2 / 3, 0.4, 0.4])


def test_the_rate_changes_at_each_step(follow):
    assert len(set(follow(OneCycle())[:40])) == 40


def groups(**settings) -> torch.optim.Optimizer:
    body, head = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([{"params": [body]}, {"params": [head], "lr": 1.0}], lr=0.1, **settings)


def test_parameter_groups_keep_their_ratio():
    """torch gives both groups the rate max_lr; here the head keeps ten times the rate."""
    theirs, ours = groups(), groups()
    OneCycleLR(theirs, max_lr=0.5, total_steps=40, cycle_momentum=False)
    assert [group["initial_lr"] for group in theirs.param_groups] == [0.02, 0.02]
    rate = LearningRate(OneCycle(max_lr=0.5), NoWarmup(), 0.1, Clock(5, 40))
    for t in range(45):
        rate.apply(ours, t)
        body, head = (group["lr"] for group in ours.param_groups)
        assert body == pytest.approx(rate.lr(t))
        assert head == pytest.approx(10 * body)
    assert [group["lr_scale"] for group in ours.param_groups] == [1, 10]
    assert ours.defaults["lr"] == 0.1


def test_max_lr_defaults_to_the_rate_of_the_optimizer(follow):
    assert max(follow(OneCycle(pct_start=0.25))) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("three_phase", [False, True])
def test_momentum_falls_as_the_rate_rises_as_in_torch(kind, three_phase):
    extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    theirs, ours = (kind([nn.Parameter(torch.zeros(1))], lr=0.4, **extra) for _ in range(2))
    shared = {"max_lr": 0.5, "three_phase": three_phase, "cycle_momentum": True}
    scheduler = OneCycleLR(theirs, total_steps=40, **shared)
    rate = LearningRate(OneCycle(**shared), NoWarmup(), 0.4, Clock(5, 40))
    key = "momentum" if extra else "betas"
    for t in range(39):
        rate.apply(ours, t)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
        assert ours.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key])
        theirs.step()
        scheduler.step()


def test_a_cycle_longer_than_the_run_is_refused(follow):
    with pytest.raises(
        ValueError, match=r"schedule\.total_steps=41st is 41 steps, .* has 40 steps"
    ):
        follow(OneCycle(total_steps="41st"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_lr", 0.0),
        ("total_steps", "0st"),
        ("total_steps", "40"),
        ("pct_start", 1.1),
        ("base_momentum", 1.0),
        ("max_momentum", -0.1),
        ("div_factor", 0.0),
        ("final_div_factor", 0.0),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        OneCycle(**{setting: value})


def test_pct_start_above_half_is_refused_with_three_phases():
    with pytest.raises(ValueError, match=r"schedule\.pct_start must be in \[0, 0\.5\], got 0\.6"):
        OneCycle(three_phase=True, pct_start=0.6)
