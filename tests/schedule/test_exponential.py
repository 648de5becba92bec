"""Decay by a factor each epoch."""

import pytest
from torch.optim.lr_scheduler import ExponentialLR

from trainer.core.duration import Clock
from trainer.schedule.exponential import Exponential


def test_by_hand(follow):
    got = follow(Exponential(gamma=0.5))
    assert [got[t] for t in (0, 4, 5, 10, 39)] == [0.4, 0.4, 0.2, 0.1, 0.4 / 2**7]


@pytest.mark.parametrize(("every", "steps"), [("1ep", 5), ("1st", 1), ("0.25run", 10)])
def test_equals_torch_at_every_step(follow, follow_torch, every, steps):
    expected = follow_torch(ExponentialLR, 60, every=steps, gamma=0.9)
    assert follow(Exponential(gamma=0.9, every=every)) == pytest.approx(expected, rel=1e-9)


def test_epochs_of_fractional_length(follow):
    """30 epochs in 35 steps: 7 steps are 6 epochs, although 7 / (35/30) is 5.999999999999999."""
    got = follow(Exponential(gamma=0.5), 35, 1.0, Clock(35 / 30, 35))
    assert [got[7 * i] for i in range(5)] == [0.5 ** (6 * i) for i in range(5)]


@pytest.mark.parametrize(
    ("setting", "value"), [("gamma", 0.0), ("gamma", -1.0), ("every", "0ep"), ("every", "1")]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Exponential(**{setting: value})
