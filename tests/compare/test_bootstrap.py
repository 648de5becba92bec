"""Bootstrap percentiles: wide for few values, close to the t interval for many."""

import numpy as np
import pytest

from trainer.compare.bootstrap import Bootstrap
from trainer.compare.t import StudentT


def test_three_values_span_all_resamples():
    """Plain percentiles would be narrower; the t interval is 2 ± 2.48."""
    assert Bootstrap().mean([1.0, 2.0, 3.0]) == (1.0, 3.0)


def test_many_values_are_close_to_t_and_wider_than_plain_percentiles():
    values = np.random.default_rng(5).normal(0.9, 0.02, 12).tolist()
    low, high = Bootstrap().mean(values)
    t_low, t_high = StudentT().mean(values)
    assert high - low == pytest.approx(t_high - t_low, rel=0.1)
    means = Bootstrap().means(values, 0)
    plain = np.quantile(means, [0.025, 0.975])
    assert high - low > 1.05 * (plain[1] - plain[0])


def test_resamples_depend_on_the_stream_alone():
    values = np.array([1.0, 2.0, 4.0])
    drawn = np.random.default_rng(3).integers(3, size=(500, 3))
    expected = [values[rows].mean() for rows in drawn]
    assert Bootstrap(resamples=500).means(values.tolist(), 3) == pytest.approx(expected)
    assert Bootstrap(resamples=500).means(values.tolist(), 4) != pytest.approx(expected)


def test_the_interval_shifts_with_the_values():
    bootstrap = Bootstrap(resamples=500)
    low, high = bootstrap.difference([1.0, 2.0, 4.0], [0.0, 1.0])
    shifted = bootstrap.difference([2.0, 3.0, 5.0], [0.0, 1.0])
    assert low < high
    assert shifted == pytest.approx((low + 1, high + 1))


def test_two_samples_are_resampled_independently():
    """With the same draws for both, equal samples would have no spread at all."""
    low, high = Bootstrap().difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert low < -1 < 1 < high


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"compare\.resamples .* got 10$"):
        Bootstrap(resamples=10)
