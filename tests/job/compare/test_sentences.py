"""Verdicts, notes and costs of runs with chosen numbers."""

import pytest

from trainer.compare.bootstrap import Bootstrap
from trainer.compare.t import StudentT
from trainer.core.errors import ConfigError, DataError
from trainer.job.compare import sentences
from trainer.job.compare.comparison import compare
from trainer.job.compare.runs import find_runs, read_run


def verdicts(comparison):
    return sentences.verdicts(comparison, comparison.final)


def contains(text, *parts):
    return [part for part in parts if part not in text] == []


def test_verdicts_beyond_and_within_noise(three, compared):
    """ohem: differences 3, 3.1, 3.1; random: −1, 1, 0.2. The only test of whole sentences."""
    comparison = compared(three)
    assert comparison.baseline.label == "mining=none"
    assert verdicts(comparison) == [
        "mining=ohem is 3.07 points above mining=none (95% CI +2.92 to +3.21, Holm p < 0.001, "
        "3 seeds, paired): beyond noise.",
        "mining=random is 0.07 points above mining=none (95% CI −2.43 to +2.57, Holm p = 0.92, "
        "3 seeds, paired): within noise; more than 1,000 seeds would be needed to detect so small "
        "a difference.",
    ]


def test_verdicts_follow_the_baseline_and_the_direction(three, compared):
    first = verdicts(compared(three, baseline="mining=ohem"))[0]
    assert first.startswith("mining=none is 3.07 points below mining=ohem")
    comparison = compared(three, metric="test/loss")
    assert comparison.mode == "min"
    first = verdicts(comparison)[0]
    assert contains(first, "mining=ohem is 0.03067 below mining=none", "better", "beyond noise")


def test_a_verdict_within_noise_names_the_seeds_to_add(make, compared):
    for seed, (base, ours) in enumerate([(0.90, 0.93), (0.91, 0.92), (0.92, 0.93)]):
        make(f"a{seed}", seed, base)
        make(f"b{seed}", seed, ours, groups={"mining": "ohem"})
    comparison = compared(make("c", 9, 0.9).parent)
    assert contains(
        verdicts(comparison)[0], "so few seeds cannot decide;", "about 3 more seeds", "80% power"
    )
    found = comparison.final.rows[1].difference
    assert found is not None
    assert (found.needed, found.seeds) == (6, 3)


@pytest.mark.parametrize("interval", [StudentT(), Bootstrap()])
def test_few_seeds_and_a_large_difference_are_undecided(make, interval):
    """18 points below, with two seeds: noise is not the only explanation."""
    for seed, (base, ours) in enumerate([(0.90, 0.76), (0.91, 0.69)]):
        make(f"a{seed}", seed, base)
        folder = make(f"b{seed}", seed, ours, groups={"mining": "ohem"}).parent
    comparison = compare([read_run(run) for run in find_runs([str(folder)])], interval=interval)
    (text,) = sentences.verdicts(comparison, comparison.final)
    assert contains(text, "18.00 points below", "so few seeds cannot decide;")
    assert "within noise" not in text
    assert "correction" not in text


def test_a_single_comparison_is_not_said_to_be_corrected(make):
    """Four seeds all lower: the bootstrap's interval excludes 0, but it cannot decide."""
    for seed, d in enumerate([0.01, 0.02, 0.03, 0.04]):
        make(f"a{seed}", seed, 0.9)
        folder = make(f"b{seed}", seed, 0.9 - d, groups={"mining": "ohem"}).parent
    runs = [read_run(run) for run in find_runs([str(folder)])]
    comparison = compare(runs, interval=Bootstrap())
    (row,) = [row for row in comparison.final.rows if row.difference]
    assert row.difference.high < 0
    assert row.difference.p == pytest.approx(0.105, abs=2e-3)
    text = sentences.verdicts(comparison, comparison.final)[0]
    assert "so few seeds cannot decide" in text
    assert "correction" not in text
    assert "about 1 more seed would" in text


def test_more_seeds_are_advised_until_the_test_can_decide(make):
    """Three seeds with a huge difference: with four, the bootstrap still could not."""
    for seed, d in enumerate([0.40, 0.41, 0.42]):
        make(f"a{seed}", seed, 0.9)
        folder = make(f"b{seed}", seed, 0.9 - d, groups={"mining": "ohem"}).parent
    runs = [read_run(run) for run in find_runs([str(folder)])]
    comparison = compare(runs, interval=Bootstrap())
    text = sentences.verdicts(comparison, comparison.final)[0]
    assert "about 2 more seeds would be needed" in text


def test_the_correction_alone_can_make_a_difference_noise(make, compared):
    for seed, d in enumerate([0.01, 0.03, 0.04, 0.05]):
        folder = make(f"a{seed}", seed, 0.9).parent
        for option in ("ohem", "random", "infobatch"):
            make(f"{option}{seed}", seed, 0.9 + d, groups={"mining": option})
    assert "within noise after correction" in verdicts(compared(folder))[0]
    first = verdicts(compared(folder, correction="none"))[0]
    assert contains(first, ", p = 0.032, 4 seeds, paired", "beyond noise")


def test_one_seed_says_so(make, compared):
    make("a", 0, 0.90)
    comparison = compared(make("b", 0, 0.95, groups={"mining": "ohem"}).parent)
    (only,) = verdicts(comparison)
    assert contains(only, "5.00 points above mining=none", "one seed", "no interval", "-m seed=0,1")
    assert "noise" not in only
    assert any("mining=ohem has one seed" in note for note in sentences.notes(comparison))


def test_the_same_in_each_seed(make, compared):
    for seed in range(2):
        make(f"a{seed}", seed, 0.90)
        make(f"b{seed}", seed, 0.90, groups={"mining": "random"})
        folder = make(f"c{seed}", seed, 0.95, groups={"mining": "ohem"})
    equal, above = verdicts(compared(folder.parent))
    assert equal.startswith("mining=random equals mining=none")
    assert contains(above, "5.00 points above", "each of 2 seeds", "cannot be tested", "more seeds")


def test_one_group(make, compared):
    (only,) = verdicts(compared(make("a", 0, 0.9).parent))
    assert only.startswith("Only one group")


def test_at_equal_cost(three, compared):
    """Random spends half an epoch's backward passes: at 150 the others are at their first epoch."""
    comparison = compared(three)
    tables = {table.cost.key: table for table in comparison.equal if table.cost}
    backward = tables["backward_passes"]
    assert backward.budget == 150
    assert [row.cost for row in backward.rows] == [100, 100, 150]
    means = [row.summary.mean for row in backward.rows]
    assert means == pytest.approx([0.71, 0.74067, 0.91067], abs=1e-4)
    assert "20.07 points above" in sentences.verdicts(comparison, backward)[1]
    epochs = tables["epochs"]
    assert (epochs.budget, epochs.metric) == (3, "val/accuracy")


def test_the_cost_to_reach_the_baselines_mean(three, compared):
    comparison = compared(three)
    assert comparison.target == pytest.approx(0.91)
    second = sentences.costs(comparison)[1]
    assert contains(second, "mining=ohem reaches val/accuracy 91.00% after 3 epochs", "3 of 3")
    assert contains(second, "300 examples", "300 backward passes", "4.5 training seconds")
    assert "does not reach val/accuracy 99.00%" in sentences.costs(compared(three, target=0.99))[0]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.001, 0.002, "not replicated"), (-0.002, -0.001, "not replicated"), (0, 0, "replicated")],
)
def test_a_difference_is_checked_against_the_published_one(three, compared, low, high, verdict):
    """An interval around the observed difference, or beside it."""
    row = next(row for row in compared(three).final.rows if row.label == "mining=ohem")
    assert row.difference is not None
    mean = row.difference.mean
    comparison = compared(three, published=(mean + low, mean + high))
    shown = comparison.format
    bounds = shown.bounds(mean + low, mean + high, sign=True)
    first = sentences.replications(comparison)[0]
    assert contains(first, "mining=ohem", shown.value(mean, sign=True), bounds, f": {verdict}.")
    assert {replica.label for replica in comparison.replicas} == {"mining=ohem", "mining=random"}


def test_a_lone_group_is_checked_against_the_published_value(make, compared):
    make("a", 0, 0.91)
    folder = make("b", 1, 0.92).parent
    (two,) = sentences.replications(compared(folder, published=(0.9, 0.93)))
    assert contains(two, "91.50%, published 90.00 to 93.00: no verdict", "3 seeds")
    make("c", 2, 0.96)
    (three,) = sentences.replications(compared(folder, published=(0.9, 0.93)))
    assert contains(three, "93.00%, published 90.00 to 93.00: replicated")
    assert sentences.replications(compared(folder)) == []


def test_groups_tested_on_other_data_are_not_comparable(make, compared):
    make("a", 0, 0.9)
    folder = make("b", 0, 0.9, groups={"dataset": "mnist"}).parent
    assert contains(sentences.notes(compared(folder))[0], "not comparable", "differ in dataset,")


def test_corrections_leave_the_test_set_comparable(make, compared):
    """They have changed the labels of val."""
    folder = make("a", 0, 0.9, result={"val": {"accuracy": 0.9}}).parent
    changed = read_run(folder / "a").config["dataset"] | {"corrections": "corrections.csv"}
    make("b", 0, 0.9, settings={"dataset": changed}, result={"val": {"accuracy": 0.9}})
    notes = sentences.notes(compared(folder))
    assert not any("not comparable" in note for note in notes)
    assert any("differ in dataset.corrections, so their validation" in note for note in notes)
    val = sentences.notes(compared(folder, metric="val/accuracy"))
    assert contains(val[0], "not comparable", "differ in dataset.corrections, so val/accuracy")


def test_label_noise_leaves_the_test_set_comparable(make, compared):
    folder = make("a", 0, 0.9).parent
    noisy = read_run(folder / "a").config["dataset"] | {"label_noise": 0.2}
    make("b", 0, 0.9, settings={"dataset": noisy})
    assert not any("not comparable" in note for note in sentences.notes(compared(folder)))


def test_other_losses_machines_and_missing_costs_are_noted(make, compared):
    make("a", 0, 0.9)
    other = {"device": "cuda:0", "machine": "H200", "threads": 4, "versions": {"torch": "3"}}
    make("b", 0, 0.9, [], groups={"loss": "focal"}, result=other)
    notes = " ".join(sentences.notes(compared(make("c", 1, 0.9).parent, metric="test/loss")))
    assert contains(notes, "test/loss is a different function", "job.metric=test/nll")
    assert contains(notes, "different machines", "(cpu, 1 thread; cuda:0 (H200), 4 threads)")
    assert contains(notes, "they are not compared by seconds")
    assert contains(notes, "2 different versions", "no table at equal epochs, examples seen")


def test_no_finished_run_and_an_unknown_metric_are_errors(make, compared):
    folder = make("a", 0, 0.9, state="failed").parent
    with pytest.raises(DataError, match=r"among 1: .*/a: failed: it broke"):
        compared(folder)
    make("b", 0, 0.9)
    with pytest.raises(ConfigError, match=r"job\.metric=test/acuracy.*Did you mean test/accuracy"):
        compared(folder, metric="test/acuracy")


def test_a_run_without_the_metric_is_skipped(make, compared):
    make("a", 0, 0.9)
    comparison = compared(make("b", 1, 0.9, result={"test": {"accuracy": None}}).parent)
    assert [(run.folder.name, run.reason) for run in comparison.skipped] == [
        ("b", "has no test/accuracy")
    ]
