"""Budgets and costs to reach a value, by hand."""

import pytest

from trainer.job.compare import budgets, sentences
from trainer.job.compare.budgets import COSTS
from trainer.job.compare.groups import group_runs
from trainer.job.compare.html.charts import cost_charts, progress_charts
from trainer.job.compare.runs import read_run
from trainer.job.compare.tables import target_table

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


def test_runs_of_different_machines_are_not_compared_by_seconds(make, compared):
    """Nor are the seconds of their curves drawn."""
    make("a", 0, 0.9)
    same = compared(make("b", 0, 0.9, groups={"mining": "ohem"}).parent)
    assert same.costs[-1].key == "train_seconds"
    assert "by training seconds" in progress_charts(same)
    other = compared(make("c", 0, 0.9, groups={"mining": "rs2"}, result={"device": "cuda"}).parent)
    names = [table.cost.key for table in other.equal if table.cost]
    assert names == ["epochs", "examples_seen", "backward_passes"]
    assert "by training seconds" not in progress_charts(other) + cost_charts(other)
    assert "training seconds" not in target_table(other)[0].columns
    assert not any("no table at equal" in note for note in sentences.notes(other))


def test_seconds_leave_out_the_first_steps(make):
    """Of 124.4 seconds 124 are compilation."""
    folder = make("a", 0, 0.9, result={"train_seconds": 124.4, "startup_seconds": 124.0})
    path = folder / "metrics.jsonl"
    line = '"train_seconds": 3.0'
    path.write_text(path.read_text().replace(line, f'{line}, "startup_seconds": 2.5'))
    run = read_run(folder)
    assert run.spent("train_seconds") == pytest.approx(0.4)
    assert [line["train_seconds"] for line in run.validations] == [1.5, 0.5]
