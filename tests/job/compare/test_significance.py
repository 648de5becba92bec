"""Paired and Welch tests against SciPy, Holm by hand, seeds to add against the exact power."""

import math

import numpy as np
import pytest
from scipy import stats

from trainer.compare.t import StudentT
from trainer.job.compare.significance import (
    Difference,
    adjust_p,
    difference,
    judge,
    seeds_needed,
    summarise,
)

BASE = {0: 0.90, 1: 0.92, 2: 0.91, 3: 0.95}
OURS = {0: 0.92, 1: 0.93, 2: 0.94, 3: 0.96}


def test_a_summary_by_hand():
    found = summarise({0: 1.0, 1: 2.0, 2: 3.0}, StudentT())
    assert (found.n, found.mean, found.deviation) == (3, 2.0, 1.0)
    alone = summarise({7: 0.5}, StudentT())
    assert (alone.mean, alone.deviation, alone.low) == (0.5, None, None)


def test_paired_by_hand_and_against_scipy():
    """Differences 2, 1, 3, 1: mean 1.75, deviation 0.957, t = 3.656."""
    found = difference(OURS, BASE, StudentT())
    assert (found.kind, found.seeds) == ("paired", 4)
    assert found.mean == pytest.approx(0.0175)
    assert found.deviation == pytest.approx(0.00957427)
    test = stats.ttest_rel(list(OURS.values()), list(BASE.values()))
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))
    unpaired = stats.ttest_ind(list(OURS.values()), list(BASE.values()), equal_var=False)
    assert unpaired.pvalue > 5 * test.pvalue, "what the seeds share would count as noise"


def test_pairs_are_matched_by_seed_and_not_by_position():
    reordered = dict(reversed(OURS.items()))
    assert difference(reordered, BASE, StudentT()).p == pytest.approx(
        difference(OURS, BASE, StudentT()).p
    )


def test_only_common_seeds_are_paired():
    found = difference({0: 1.0, 1: 2.0, 9: 100.0}, {0: 0.5, 1: 1.0, 8: -5.0}, StudentT())
    assert (found.kind, found.seeds, found.mean) == ("paired", 2, 0.75)


def test_groups_with_different_seeds_use_welchs_test():
    others = {seed + 10: value for seed, value in BASE.items()}
    found = difference(OURS, others, StudentT())
    test = stats.ttest_ind(list(OURS.values()), list(BASE.values()), equal_var=False)
    assert found.kind == "Welch"
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))


def test_one_seed_has_no_interval():
    found = difference({0: 0.9}, {0: 0.8, 1: 0.1}, StudentT())
    assert (found.kind, found.p, found.low) == ("none", None, None)
    assert found.mean == pytest.approx(0.1)


def test_differences_that_do_not_vary_are_not_significant():
    """A deviation of 0 would give p = 0, but equal counts are common on a small test set."""
    found = difference({0: 0.92, 1: 0.93}, {0: 0.90, 1: 0.91}, StudentT())
    assert (found.deviation, found.p) == (0.0, None)
    (judged,) = judge([found], "holm", StudentT())
    assert not judged.beyond_noise
    assert judged.needed is None


def test_holm_by_hand():
    """0.01·3 = 0.03, 0.03·2 = 0.06, 0.04·1 = 0.04 but no less than 0.06."""
    assert adjust_p([0.04, 0.01, 0.03], "holm") == pytest.approx([0.06, 0.03, 0.06])
    assert adjust_p([0.04, 0.01, 0.5], "bonferroni") == pytest.approx([0.12, 0.03, 1.0])
    assert adjust_p([0.04, 0.01], "none") == [0.04, 0.01]
    assert adjust_p([0.9, 0.8], "holm") == [1.0, 1.0]
    assert adjust_p([], "holm") == []


def test_the_correction_changes_the_verdict():
    """A p value of 0.03 is beyond noise alone, but not as one of two."""
    one = Difference("paired", 4, 0.01, 0.005, 0.001, 0.02, 0.03)
    assert [d.beyond_noise for d in judge([one, one], "none", StudentT())] == [True, True]
    assert [d.beyond_noise for d in judge([one, one], "holm", StudentT())] == [False, False]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0])
def test_the_seeds_needed_have_80_percent_power(ratio):
    """By the noncentral t, one seed more has 80 % power and two fewer have not."""
    d = Difference("paired", 3, 1.0, ratio)
    n = seeds_needed(d, 0.05)
    assert n is not None

    def power(size: int) -> float:
        limit, centre = stats.t.ppf(0.975, size - 1), math.sqrt(size) / ratio
        return float(
            stats.nct.sf(limit, size - 1, centre) + stats.nct.cdf(-limit, size - 1, centre)
        )

    assert power(n + 1) >= 0.8
    assert n == 2 or power(n - 2) < 0.8


def test_welch_needs_twice_the_runs():
    """Equal deviations s give the difference √2 s, so each group needs about n for √2 s / d."""
    ratio = 1.5
    n = seeds_needed(Difference("Welch", 3, 1.0, math.hypot(ratio, ratio)), 0.05)
    expected = next(
        size
        for size in range(2, 1000)
        if stats.nct.sf(stats.t.ppf(0.975, 2 * size - 2), 2 * size - 2, math.sqrt(size / 2) / ratio)
        >= 0.8
    )
    assert n == pytest.approx(expected, abs=1)


def test_more_comparisons_need_more_seeds():
    one = Difference("paired", 3, 0.01, 0.02, -0.03, 0.05, 0.4)
    alone, among = judge([one], "holm", StudentT())[0], judge([one] * 4, "holm", StudentT())[0]
    assert alone.extra_seeds is not None
    assert among.extra_seeds is not None
    assert among.extra_seeds > alone.extra_seeds > 0
    assert seeds_needed(Difference("paired", 3, 1e-6, 1.0), 0.05) is None, "over MOST_SEEDS"
    assert seeds_needed(Difference("paired", 3, 0.0, 1.0), 0.05) is None


def test_holm_keeps_false_alarms_near_5_percent():
    """With four equal groups, some difference is significant in 5 % with Holm, 13 % without."""
    rng = np.random.default_rng(0)
    alarms = {"holm": 0, "none": 0}
    for _ in range(200):
        base, *others = rng.normal(size=(4, 3))
        tests = [difference(dict(enumerate(o)), dict(enumerate(base)), StudentT()) for o in others]
        for correction in alarms:
            alarms[correction] += min(adjust_p([d.p for d in tests], correction)) < 0.05
    assert alarms["holm"] / 200 < 0.08 < alarms["none"] / 200
