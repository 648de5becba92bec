"""Exponential decay by a factor over a duration."""

import pytest
from torch.optim.lr_scheduler import ExponentialLR

from trainer.core.duration import Clock
from trainer.schedule.exponential_decay import ExponentialDecay


def test_by_hand(follow):
    """A factor of ¼ in 10 steps is ½ in 5."""
    got = follow(ExponentialDecay(decay_steps="10st", decay_rate=0.25))
    assert [got[t] for t in (0, 5, 10, 15, 20)] == pytest.approx([0.4, 0.2, 0.1, 0.05, 0.025])


def test_staircase_by_hand(follow):
    got = follow(ExponentialDecay(decay_steps="2ep", decay_rate=0.5, staircase=True))
    assert got == pytest.approx([0.4 / 2 ** (t // 10) for t in range(60)])


def test_equals_torch_at_every_step(follow, follow_torch):
    """A factor r in S steps is r^(1/S) per step."""
    expected = follow_torch(ExponentialLR, 60, gamma=0.1 ** (1 / 8))
    got = follow(ExponentialDecay(decay_steps="8st", decay_rate=0.1))
    assert got == pytest.approx(expected, rel=1e-9)


def test_a_stair_given_as_a_fraction_of_the_run_is_at_the_exact_step(follow):
    """0.07 of 100 steps is 7.000000000000001, but step 7 is on the second stair."""
    schedule = ExponentialDecay(decay_steps="0.07run", decay_rate=0.5, staircase=True)
    got = follow(schedule, 100, 1.0, Clock(10, 100))
    assert got == [0.5 ** (t // 7) for t in range(100)]


def test_a_time_constant_may_be_longer_than_the_run(follow):
    assert follow(ExponentialDecay(decay_steps="80st", decay_rate=0.25))[40] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("decay_steps", "0st"), ("decay_steps", "10"), ("decay_rate", 0.0), ("decay_rate", -1.0)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        ExponentialDecay(**{setting: value})
