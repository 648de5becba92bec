"""Bootstrap percentiles: of few values wide, of many those of the t interval."""

import numpy as np
import pytest

from trainer.compare.bootstrap import Bootstrap
from trainer.compare.t import StudentT


def test_of_three_it_is_all_that_resamples_have():
    """The plain percentiles would be no wider than [1, 3] less a thirtieth; t has ±2.48."""
    assert Bootstrap().mean([1.0, 2.0, 3.0]) == (1.0, 3.0)


def test_of_many_it_is_near_t_and_wider_than_plain_percentiles():
    values = np.random.default_rng(5).normal(0.9, 0.02, 12).tolist()
    low, high = Bootstrap().mean(values)
    t_low, t_high = StudentT().mean(values)
    assert high - low == pytest.approx(t_high - t_low, rel=0.1)
    means = Bootstrap().means(values, 0)
    plain = np.quantile(means, [0.025, 0.975])
    assert high - low > 1.05 * (plain[1] - plain[0])


def test_the_same_twice_and_shifts_with_the_values():
    one = Bootstrap(resamples=500)
    assert one.mean([1.0, 2.0, 4.0]) == one.mean([1.0, 2.0, 4.0])
    low, high = one.difference([1.0, 2.0, 4.0], [0.0, 1.0])
    shifted = one.difference([2.0, 3.0, 5.0], [0.0, 1.0])
    assert shifted == pytest.approx((low + 1, high + 1))


def test_two_samples_are_resampled_apart():
    """Resampled by the same draws, equal samples would have no spread at all."""
    low, high = Bootstrap().difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert low < -1 < 1 < high


def test_a_setting_out_of_range_is_one_line():
    with pytest.raises(ValueError, match=r"compare\.resamples"):
        Bootstrap(resamples=10)
