"""The t interval by hand and against SciPy."""

import pytest
from scipy import stats

from trainer.compare.t import StudentT, welch


def test_by_hand():
    """1, 2, 3: mean 2, deviation 1, margin 4.3027/√3; the normal's 1.96 would give 1.13."""
    low, high = StudentT().mean([1.0, 2.0, 3.0])
    assert (low, high) == (
        pytest.approx(2 - 2.48414, abs=1e-4),
        pytest.approx(2 + 2.48414, abs=1e-4),
    )


def test_against_scipy():
    values, others = [0.91, 0.93, 0.95, 0.9], [0.88, 0.96, 0.97]
    for level in (0.8, 0.95, 0.99):
        expected = stats.t.interval(level, 3, stats.tmean(values), stats.sem(values))
        assert StudentT(level=level).mean(values) == pytest.approx(expected)
        welch_test = stats.ttest_ind(values, others, equal_var=False)
        expected = tuple(welch_test.confidence_interval(level))
        assert StudentT(level=level).difference(values, others) == pytest.approx(expected)


def test_welch_degrees_of_freedom_by_hand():
    """Variances 1, sizes 3 and 3: error √(2/3), and 3 + 3 − 2 degrees as for pooled variances."""
    error, df = welch([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    assert error == pytest.approx((2 / 3) ** 0.5)
    assert df == pytest.approx(4.0)


def test_equal_values_have_an_interval_of_no_width():
    assert StudentT().mean([0.5, 0.5]) == (0.5, 0.5)
    assert StudentT().difference([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.25)


def test_a_level_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"compare\.level must be in \(0, 1\), got 95$"):
        StudentT(level=95)
