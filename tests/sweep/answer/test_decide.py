"""When strategies are decided: Holm, margins, failures, and no looking ahead."""

import math

import numpy as np
import pytest

from trainer.compare import Anytime
from trainer.sweep.answer.decide import Rules, holm, judge

NOISE = np.random.default_rng(0).normal(size=(400, 5, 30))
BETTER = [0.010, 0.012, 0.009, 0.011, 0.010, 0.013]


def test_a_clear_effect_ends_after_the_first_seeds_with_the_interval_of_those():
    (found,) = judge({"a": [*BETTER, 0.5]}, Rules()).values()
    assert (found.verdict, found.looked, found.values) == ("better", 5, tuple(BETTER[:5]))
    assert (found.low, found.high) == pytest.approx(Anytime().mean(BETTER[:5]))
    assert found.p == Anytime().p_mean(BETTER[:5]) < 0.05
    (worse,) = judge({"a": BETTER}, Rules(low_is_better=True)).values()
    assert worse.verdict == "worse"


def test_the_first_look_is_after_the_first_seeds_that_all_undecided_have():
    """b lacks its sixth seed: what a has beyond the fifth does not count yet."""
    wide = [0.5, -0.4, 0.3, -0.2, 0.1, 0.2, -0.3]
    assert judge({"a": BETTER[:4]}, Rules())["a"].verdict == "undecided"
    found = judge({"a": wide, "b": wide[:5]}, Rules())
    assert [one.looked for one in found.values()] == [5, 5]
    found = judge({"a": wide, "b": BETTER[:5]}, Rules())
    assert [one.looked for one in found.values()] == [7, 5], "b is decided and holds up no one"


def test_the_answer_does_not_depend_on_the_order_in_which_runs_end():
    paths = {str(i): (path + 0.8 * (i < 2)).tolist() for i, path in enumerate(NOISE[0])}
    whole = judge(paths, Rules())
    for n in range(1, 31):
        for label, one in judge({k: path[:n] for k, path in paths.items()}, Rules()).items():
            if one.decided:
                assert one.looked == whole[label].looked
                assert one.verdict == whole[label].verdict


def test_five_strategies_without_an_effect_are_seldom_called_different():
    """Families of five, at most 5 % with any statement; a margin adds statements, and no errors."""
    rules = Rules()
    wrong = [
        any(
            one.decided
            for one in judge(dict(zip("abcde", family.tolist(), strict=True)), rules).values()
        )
        for family in NOISE[:200]
    ]
    assert np.mean(wrong) <= 0.05
    margin = Rules(margin=1.5)
    wrong = []
    for family in NOISE[:60]:
        shifted = family + np.array([[0.0], [1.5], [1.5], [-1.5], [0.0]])
        found = judge(dict(zip("abcde", shifted.tolist(), strict=True)), margin)
        errors = [found[k].verdict == "level" for k in "bcd"]
        errors += [found[k].verdict in ("better", "worse") for k in "ae"]
        wrong.append(any(errors))
    assert np.mean(wrong) <= 0.05


def test_level_within_the_margin():
    small = [0.001, -0.001, 0.0005, -0.0005, 0.0, 0.0002, -0.0004, 0.0006]
    (found,) = judge({"a": small}, Rules(margin=0.005)).values()
    assert found.verdict == "level"
    assert -0.005 < found.low < found.high < 0.005
    assert judge({"a": small}, Rules())["a"].verdict == "undecided"


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_differences_that_do_not_vary_decide_nothing(value: float):
    (found,) = judge({"a": [value] * 30}, Rules(margin=2.0)).values()
    assert (found.verdict, found.p, found.needed) == ("undecided", 1.0, None)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_failed_run_counts_for_nothing_and_too_many_end_a_strategy():
    (found,) = judge({"a": [0.010, None, *BETTER]}, Rules()).values()
    assert (found.verdict, found.looked, len(found.values)) == ("better", 6, 5)
    found = judge({"a": [None, 0.01, None, 0.02, None, 0.01], "b": BETTER}, Rules())
    assert (found["a"].verdict, found["a"].looked) == ("failed", 5)
    assert found["b"].verdict == "better"


def test_what_it_would_take_is_said_of_the_undecided_alone():
    (found,) = judge({"a": (NOISE[0][0] + 0.3).tolist()}, Rules()).values()
    assert found.verdict == "undecided"
    assert found.needed is not None
    assert found.needed > 30
    assert judge({"a": BETTER}, Rules())["a"].needed is None


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
