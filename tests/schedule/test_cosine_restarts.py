"""Cosine annealing with warm restarts."""

import pytest
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from trainer.core.duration import Clock
from trainer.schedule.cosine_restarts import CosineRestarts


def test_by_hand(follow):
    """Periods of 4, 8, 16 steps: half-way at 2, 8, 20; restarts at 4, 12, 28."""
    got = follow(CosineRestarts(T_0="4st", T_mult=2, eta_min=0.2))
    assert [got[t] for t in (2, 8, 20)] == pytest.approx([0.3] * 3)
    assert [got[t] for t in (0, 4, 12, 28)] == pytest.approx([0.4] * 4)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("first", [1, 3, 10])
def test_equals_torch_at_every_step(follow, follow_torch, first, factor):
    """300 steps by torch's counter, since its formula with logarithms is wrong at 3^n."""
    settings = {"T_0": first, "T_mult": factor, "eta_min": 0.01}
    expected = follow_torch(CosineAnnealingWarmRestarts, 300, **settings)
    got = follow(CosineRestarts(**settings | {"T_0": f"{first}st"}), 300)
    assert got == pytest.approx(expected, rel=1e-9)


def test_a_period_given_as_a_fraction_of_the_run_restarts_at_the_exact_step(follow):
    """0.07 of 100 steps is 7.000000000000001 in floating point."""
    got = follow(CosineRestarts(T_0="0.07run"), 100, 0.4, Clock(10, 100))
    assert [t for t in range(100) if got[t] == pytest.approx(0.4)] == list(range(0, 100, 7))


def test_a_period_may_be_longer_than_the_run(follow):
    assert follow(CosineRestarts(T_0="80st"))[40] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("setting", "value"), [("T_0", "0ep"), ("T_0", "10"), ("T_mult", 0), ("eta_min", -1.0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        CosineRestarts(**{setting: value})
