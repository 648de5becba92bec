"""Exponential decay to the base e."""

import math
from itertools import pairwise

import pytest
from torch.optim.lr_scheduler import ExponentialLR

from trainer.schedule.natural_exponential import NaturalExponential


def test_by_hand(follow):
    """r = ln 2 halves the rate in 10 steps."""
    got = follow(NaturalExponential(decay_steps="10st", decay_rate=math.log(2)))
    assert [got[t] for t in (0, 10, 20, 30)] == pytest.approx([0.4, 0.2, 0.1, 0.05])


def test_equals_torch_at_every_step(follow, follow_torch):
    expected = follow_torch(ExponentialLR, 60, gamma=math.exp(-0.5 / 8))
    got = follow(NaturalExponential(decay_steps="8st", decay_rate=0.5))
    assert got == pytest.approx(expected, rel=1e-9)


def test_the_exponent_is_not_inverted(follow):
    """e^(−r/t), a form found elsewhere, divides by zero at t = 0 and then grows."""
    got = follow(NaturalExponential(decay_steps="1st", decay_rate=0.1))
    assert got[0] == 0.4
    assert all(later < earlier for earlier, later in pairwise(got))
    inverted = [0.4 * math.exp(-0.1 / t) for t in (1, 10)]
    assert inverted[0] < inverted[1]


def test_staircase_by_hand(follow):
    got = follow(NaturalExponential(decay_steps="2ep", decay_rate=1.0, staircase=True))
    assert got == pytest.approx([0.4 * math.exp(-(t // 10)) for t in range(60)])


def test_a_time_constant_may_be_longer_than_the_run(follow):
    got = follow(NaturalExponential(decay_steps="80st", decay_rate=2.0))
    assert got[40] == pytest.approx(0.4 / math.e)


@pytest.mark.parametrize(
    ("setting", "value"), [("decay_steps", "0ep"), ("decay_steps", "soon"), ("decay_rate", -0.1)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        NaturalExponential(**{setting: value})
