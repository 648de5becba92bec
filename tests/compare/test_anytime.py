"""The anytime-valid t interval: by hand, against its inversion, and its level under peeking."""

import math

import numpy as np
import pytest

from trainer.compare.anytime import Anytime
from trainer.compare.shared import anytime
from trainer.job.compare.significance import difference, judge


def test_e_by_hand():
    """1, 2, 3, 4 with c² = 1/2: S = 10, V = 30, √(1/9) · (30 / (30 − 100/4.5))² = (27/7)² / 3."""
    assert math.exp(anytime.log_e_values([1.0, 2.0, 3.0, 4.0])[-1]) == pytest.approx(243 / 49)
    assert anytime.p_value([1.0, 2.0, 3.0, 4.0]) == pytest.approx(49 / 243)


def test_the_interval_by_hand():
    """n = 4, α = 1/5: q = 1 − (0.02/4.5)^(1/4) = 0.741801, half² = s² 10.0143 / 2.64758."""
    assert anytime.reach(4, 0.2) == pytest.approx(1.94485, abs=1e-4)
    low, high = Anytime(level=0.8).mean([1.0, 2.0, 3.0, 4.0])
    assert (low + high) / 2 == pytest.approx(2.5)
    assert (high - low) / 2 == pytest.approx(1.94485 * math.sqrt(5 / 3), abs=1e-4)


@pytest.mark.parametrize("n", [4, 7, 30, 200])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_at_the_ends_of_the_interval_e_is_one_over_alpha(n: int, level: float):
    values = np.random.default_rng(n).normal(0.3, 2.0, n).tolist()
    if n == 4 and level == 0.99:
        assert Anytime(level=level).mean(values) == (-math.inf, math.inf)
        return
    for end in Anytime(level=level).mean(values):
        e = math.exp(anytime.log_e_values([value - end for value in values])[-1])
        assert e == pytest.approx(1 / (1 - level), rel=1e-9)


def test_the_p_value_remembers_the_highest_e():
    values = [1.0, 1.1, 0.9, 1.0, 1.05, -4.0]
    assert Anytime().p_mean(values) == Anytime().p_mean(values[:5]) < 0.01


def test_the_first_value_and_equal_values_say_nothing():
    """Of one value e is 1 by its formula; equal differences would make it large without a test."""
    assert anytime.log_e(1, 3.0, 9.0) == pytest.approx(0.0)
    assert anytime.log_e_values([0.25] * 20) == [0.0] * 20
    assert anytime.log_e_values([0.1 + 0.2, 0.3, 0.3]) == [0.0] * 3, "rounding is no variation"
    assert anytime.log_e_values([0.0, 0.0, 0.0]) == [0.0] * 3


def test_fewer_than_four_cannot_decide():
    assert Anytime().fewest == 4
    assert Anytime().mean([1.0, 1.0 + 1e-6, 1.0]) == (-math.inf, math.inf)
    assert Anytime().p_mean([1.0, 1.0 + 1e-6, 1.0, 1.0]) < 0.05


def test_looking_after_each_of_30_seeds_keeps_the_level():
    """2,000 paths without an effect: at most 5 % ever end; naive peeking with t ends 26 %."""
    paths = np.random.default_rng(0).normal(size=(2000, 30))
    n, total, squares = np.arange(1, 31), paths.cumsum(1), (paths**2).cumsum(1)
    share = total**2 / ((n + 0.5) * squares)
    e = np.sqrt(0.5 / (n + 0.5)) * (1 - share) ** (-n / 2)
    assert np.log(e[0]) == pytest.approx(anytime.log_e_values(paths[0]), abs=1e-9)
    assert 0.005 < (e.max(1) >= 20).mean() <= 0.05
    mean, deviation = total / n, np.sqrt((squares - total**2 / n) / np.maximum(n - 1, 1))
    halves = deviation[:, 3:] * np.array([anytime.reach(k, 0.05) for k in n[3:]])
    assert (np.abs(mean[:, 3:]) <= halves).all(1).mean() >= 0.95


def test_seeds_to_decide():
    """Of many paths with an effect of one deviation, about 80 % have decided at that number."""
    n = Anytime().needed(1.0, 0.05)
    assert n is not None
    paths = np.random.default_rng(1).normal(1.0, 1.0, size=(300, n))
    decided = np.mean([anytime.p_value(path) <= 0.05 for path in paths])
    assert 0.7 < decided < 0.92
    assert Anytime().needed(0.0, 0.05) is None


def test_a_comparison_takes_p_interval_and_advice_from_it():
    ours = {seed: 0.9 + 0.01 * ((seed * 7) % 5) for seed in range(12)}
    base = {seed: value - 0.01 - 0.001 * (seed % 3) for seed, value in ours.items()}
    (found,) = judge([difference(ours, base, Anytime())], "holm", Anytime())
    deltas = [ours[seed] - base[seed] for seed in ours]
    assert found.p == anytime.p_value(deltas)
    assert (found.low, found.high) == Anytime().mean(deltas)
    assert found.beyond_noise
    unpaired = difference(ours, {seed + 100: value for seed, value in base.items()}, Anytime())
    assert unpaired.low == pytest.approx(found.low)


def test_a_prior_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"compare\.prior must be in \(0, 100\], got 0"):
        Anytime(prior=0.0)
