"""Decay in inverse proportion to time."""

import pytest
from torch.optim.lr_scheduler import LambdaLR

from trainer.schedule.inverse_time import InverseTime


def test_by_hand(follow):
    """r = 3: a quarter of lr after S, a seventh after 2S."""
    got = follow(InverseTime(decay_steps="10st", decay_rate=3.0), base=2.8)
    assert [got[t] for t in (0, 10, 20)] == pytest.approx([2.8, 0.7, 0.4])


def test_equals_torch_at_every_step(follow, follow_torch):
    expected = follow_torch(LambdaLR, 60, lr_lambda=lambda t: 1 / (1 + 0.5 * t / 8))
    got = follow(InverseTime(decay_steps="8st", decay_rate=0.5))
    assert got == pytest.approx(expected, rel=1e-12)


def test_staircase_by_hand(follow):
    got = follow(InverseTime(decay_steps="2ep", decay_rate=1.0, staircase=True))
    assert got == pytest.approx([0.4 / (1 + t // 10) for t in range(60)])


def test_a_time_constant_may_be_longer_than_the_run(follow):
    assert follow(InverseTime(decay_steps="80st", decay_rate=2.0))[40] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("setting", "value"), [("decay_steps", "0ep"), ("decay_steps", "soon"), ("decay_rate", -0.1)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        InverseTime(**{setting: value})
