"""Cosine annealing, constant after T_max."""

import math

import pytest
from torch.optim.lr_scheduler import CosineAnnealingLR

from trainer.schedule.cosine import Cosine


def test_by_hand(follow):
    """From 0.4 to 0.1 in 20 steps: a quarter of the way 0.1 + 0.3·½(1 + cos π/4)."""
    got = follow(Cosine(T_max="20st", eta_min=0.1))
    assert [got[t] for t in (0, 10, 20)] == pytest.approx([0.4, 0.25, 0.1])
    assert got[5] == pytest.approx(0.1 + 0.15 * (1 + math.sqrt(0.5)))


def test_equals_torch_until_t_max_and_is_constant_after(follow, follow_torch):
    expected = follow_torch(CosineAnnealingLR, 60, T_max=30, eta_min=0.05)
    got = follow(Cosine(T_max="6ep", eta_min=0.05))
    assert got[:31] == pytest.approx(expected[:31], rel=1e-9)
    assert got[30:] == [0.05] * 30
    assert expected[59] > 0.35  # torch's rate rises again


def test_a_t_max_longer_than_the_run_is_refused(follow):
    with pytest.raises(ValueError, match=r"schedule\.T_max=9ep is 45 steps, .* has 40 steps"):
        follow(Cosine(T_max="9ep"))


@pytest.mark.parametrize(
    ("setting", "value"), [("T_max", "40"), ("T_max", "0ep"), ("eta_min", -0.1)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Cosine(**{setting: value})
