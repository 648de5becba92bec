"""Student's t distribution by hand and against SciPy."""

import math

import pytest
from scipy import stats

from trainer.compare.shared.student_t import quantile, two_sided


def test_by_hand():
    """P(|T| ≥ 1) = 1/2 with one degree of freedom, P(|T| ≥ √2) = 1 − √(1/2) with two."""
    assert two_sided(1.0, 1) == pytest.approx(0.5, abs=1e-12)
    assert two_sided(math.sqrt(2), 2) == pytest.approx(1 - math.sqrt(0.5), abs=1e-12)
    assert two_sided(0.0, 5) == 1.0
    assert quantile(0.975, 2) == pytest.approx(4.302652729911275, abs=1e-9)


@pytest.mark.parametrize("df", [1, 2, 3.7, 10, 200, 1e5])
def test_against_scipy(df):
    for p in (0.025, 0.5, 0.8, 0.975, 0.999, 1 - 1e-6):
        assert quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-7, abs=1e-9)
    for t in (0.1, -1.0, 3.0, 30.0):
        assert two_sided(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8)
