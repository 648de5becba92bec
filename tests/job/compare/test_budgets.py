"""Budgets and costs to reach a value, by hand."""

import pytest

from trainer.job.compare import budgets
from trainer.job.compare.budgets import COSTS
from trainer.job.compare.groups import group_runs
from trainer.job.compare.runs import read_run

EPOCHS, EXAMPLES, BACKWARD, SECONDS = COSTS


@pytest.fixture
def groups(make):
    """Four epochs of 100 backward passes without mining, three of 40 with random mining."""
    runs = [
        make("a", 0, 0.9, [0.5, 0.6, 0.8, 0.7]),
        make("b", 1, 0.9, [0.4, 0.7, 0.6, 0.9]),
        make("c", 0, 0.9, [0.3, 0.5, 0.65], backward=40, groups={"mining": "random"}),
    ]
    return group_runs([read_run(run) for run in runs])[0]


def test_the_budget_is_the_lowest_final_cost(groups):
    assert budgets.common_budget(groups, EPOCHS, "accuracy") == 3
    assert budgets.common_budget(groups, BACKWARD, "accuracy") == 120
    assert budgets.common_budget(groups, SECONDS, "accuracy") == 4.5
    assert budgets.common_budget(groups, EPOCHS, "nope") is None


def test_the_last_validation_within_the_budget_counts(groups):
    """Neither the next one nor the best so far, and nothing interpolated."""
    plain, random = groups
    assert budgets.within_budget(plain, BACKWARD, "accuracy", 120) == {0: (100, 0.5), 1: (100, 0.4)}
    assert budgets.within_budget(random, BACKWARD, "accuracy", 120) == {0: (120, 0.65)}
    assert budgets.within_budget(plain, EPOCHS, "accuracy", 3) == {0: (3, 0.8), 1: (3, 0.6)}
    assert budgets.within_budget(plain, BACKWARD, "accuracy", 99) == {}


def test_the_cost_to_reach_a_value(groups):
    plain, random = groups
    found = budgets.cost_to_reach(plain, "accuracy", 0.7, "max")
    assert (found.reached, found.runs) == (2, 2)
    assert found.spent["epochs"] == [3, 2]
    assert found.spent["backward_passes"] == [300, 200]
    assert found.spent["train_seconds"] == [4.5, 3.0]
    assert budgets.cost_to_reach(random, "accuracy", 0.7, "max").reached == 0
    assert budgets.cost_to_reach(plain, "loss", 0.35, "min").spent["epochs"] == [3, 2]
    assert budgets.baseline_target(plain, "accuracy") == pytest.approx(0.8)


def test_the_mean_curve_ends_with_the_shortest_run(make):
    runs = [make("a", 0, 0.9, [0.5, 0.6, 0.8]), make("b", 1, 0.9, [0.4, 0.7])]
    (one,), _ = group_runs([read_run(run) for run in runs])
    curve = budgets.mean_curve(one, BACKWARD, "accuracy")
    assert curve == [(100, pytest.approx(0.45), 0.4, 0.5), (200, pytest.approx(0.65), 0.6, 0.7)]
