"""Polynomial decay, constant or cyclic after its end."""

import math

import pytest
from torch.optim.lr_scheduler import PolynomialLR

from trainer.core.duration import Clock
from trainer.schedule.polynomial import Polynomial


def test_by_hand(follow):
    """From 0.4 to 0.1 in 20 steps with p = 2: 0.3/4 + 0.1 half-way; then constant."""
    got = follow(Polynomial(decay_steps="20st", end_lr=0.1, power=2.0))
    assert [got[t] for t in (0, 10, 20, 21, 59)] == pytest.approx([0.4, 0.175, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_equals_torch_at_every_step(follow, follow_torch, power):
    expected = follow_torch(PolynomialLR, 60, total_iters=30, power=power)
    got = follow(Polynomial(decay_steps="6ep", end_lr=0.0, power=power))
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_cycle_by_hand(follow):
    """S = 10, from 1 to 0: at 15 it is 1 − 15/20, at 25 it is 1 − 25/30; 0 at each multiple."""
    got = follow(Polynomial(decay_steps="10st", end_lr=0.0, cycle=True), base=1.0)
    assert [got[t] for t in (0, 5, 15, 25)] == pytest.approx([1, 0.5, 0.25, 1 / 6])
    assert [got[t] for t in (10, 20, 50)] == pytest.approx([0] * 3, abs=1e-12)
    assert got[11] == pytest.approx(0.45)


@pytest.mark.parametrize("length", ["10st", "7st", "0.07run", "0.3ep"])
def test_cycle_at_every_step(follow, length):
    """Equal to the formula in integers, so rounding does not add a cycle."""
    clock = Clock(10, 100)
    size = round(clock.steps(length))
    schedule = Polynomial(decay_steps=length, end_lr=0.01, power=1.5, cycle=True)
    for t, lr in enumerate(follow(schedule, 120, 0.4, clock)):
        longer = size * max(1, -(-t // size))
        assert lr == pytest.approx(0.39 * (1 - t / longer) ** 1.5 + 0.01), t


def test_a_cycle_starts_at_the_initial_rate(follow):
    """⌈0/S⌉ is 0: without the maximum the formula would divide 0 by 0."""
    assert follow(Polynomial(decay_steps="10st", cycle=True))[0] == 0.4


def test_a_decay_of_duration_0_ends_after_the_first_step(follow):
    got = follow(Polynomial(decay_steps="0st", end_lr=0.1))
    assert got == pytest.approx([0.4, *[0.1] * 59])
    with pytest.raises(ValueError, match=r"schedule\.decay_steps must be above 0, got 0st"):
        Polynomial(decay_steps="0st", cycle=True)


def test_a_decay_longer_than_the_run_is_refused_without_cycles(follow):
    with pytest.raises(ValueError, match=r"schedule\.decay_steps=9ep is 45 steps, .* has 40 steps"):
        follow(Polynomial(decay_steps="9ep"))
    assert math.isclose(follow(Polynomial(decay_steps="80st", end_lr=0, cycle=True))[40], 0.2)


@pytest.mark.parametrize(
    ("setting", "value"), [("decay_steps", "10"), ("end_lr", -0.1), ("power", 0.0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Polynomial(**{setting: value})
