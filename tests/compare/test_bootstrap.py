"""Expanded bootstrap percentiles: wide for few values, close to the t interval for many."""

import math

import numpy as np
import pytest
from scipy import stats

from trainer.compare.bootstrap import Bootstrap
from trainer.compare.t import StudentT


def test_the_interval_of_three_values_spans_all_resamples():
    """The t interval is 2 ± 2.48."""
    assert Bootstrap().mean([1.0, 2.0, 3.0]) == (1.0, 3.0)


def test_twelve_values_are_close_to_t_and_wider_than_plain_percentiles():
    values = np.random.default_rng(5).normal(0.9, 0.02, 12).tolist()
    low, high = Bootstrap().mean(values)
    t_low, t_high = StudentT().mean(values)
    assert high - low == pytest.approx(t_high - t_low, rel=0.1)
    means = Bootstrap().means(values, 0)
    plain = np.quantile(means, [0.025, 0.975])
    assert high - low > 1.05 * (plain[1] - plain[0])


def test_mean_against_a_slow_loop_with_a_fixed_seed():
    """Eight values, 80 %: the expanded percentiles lie within the range of the means."""
    values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.7, 0.3, 0.8]
    rng = np.random.default_rng(0)
    means = [sum(values[i] for i in draw) / 8 for draw in rng.integers(8, size=(500, 8))]
    tail = stats.norm.cdf(-math.sqrt(8 / 7) * stats.t.ppf(0.9, 7))
    expected = np.quantile(means, [tail, 1 - tail])
    assert min(means) < expected[0] < expected[1] < max(means)
    assert Bootstrap(level=0.8, resamples=500).mean(values) == pytest.approx(tuple(expected))


def test_difference_shifts_with_the_values():
    bootstrap = Bootstrap(resamples=500)
    low, high = bootstrap.difference([1.0, 2.0, 4.0], [0.0, 1.0])
    assert low < high
    shifted = bootstrap.difference([2.0, 3.0, 5.0], [0.0, 1.0])
    assert shifted == pytest.approx((low + 1, high + 1))


def test_two_samples_are_resampled_independently():
    """If both had the same draws, equal samples would have a difference of exactly 0."""
    low, high = Bootstrap().difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert low < -1 < 1 < high


def test_p_is_that_of_the_interval_that_ends_at_0():
    """Eight values whose mean is near 0: the interval at level 1 − p has 0 as its end."""
    values = np.random.default_rng(1).normal(0.5, 1, 8).tolist()
    p = Bootstrap().p_mean(values)
    assert 0.01 < p < 0.5
    bounds = Bootstrap(level=1 - p).mean(values)
    assert min(map(abs, bounds)) < 0.01 * (bounds[1] - bounds[0])
    others = (np.array(values) - 1).tolist()
    p = Bootstrap().p_difference(values, others)
    low, high = Bootstrap(level=1 - p).difference(values, others)
    assert min(abs(low), abs(high)) < 0.01 * (high - low)


def test_p_of_many_values_is_close_to_that_of_t():
    values = np.random.default_rng(2).normal(0.3, 1, 30).tolist()
    assert Bootstrap().p_mean(values) == pytest.approx(StudentT().p_mean(values), rel=0.2)


@pytest.mark.parametrize(("n", "p"), [(3, 0.282), (4, 0.105), (5, 0.0384)])
def test_few_values_bound_p_from_below(n, p):
    """n values of one sign: no resample is beyond 0, whose chance could be n^−n."""
    assert Bootstrap().p_mean([1.0 + i for i in range(n)]) == pytest.approx(p, rel=0.02)
    z = stats.norm.isf(float(n) ** -n)
    expected = 2 * stats.t.sf(z * math.sqrt((n - 1) / n), n - 1)
    assert Bootstrap().p_mean([1.0 + i for i in range(n)]) == pytest.approx(expected)
    assert Bootstrap().fewest == 5


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"compare\.resamples must be in \[100, 1e6\], got 10$"):
        Bootstrap(resamples=10)
