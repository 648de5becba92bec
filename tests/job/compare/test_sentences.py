"""What is said, word for word, of runs with numbers of our own."""

import pytest

from trainer.compare.t import StudentT
from trainer.core.errors import ConfigError, DataError
from trainer.job.compare import sentences
from trainer.job.compare.comparison import compare
from trainer.job.compare.runs import find, read


def compared(folder, **settings):
    return compare([read(run) for run in find([str(folder)])], interval=StudentT(), **settings)


def test_beyond_noise_and_within(three):
    """ohem: differences 3, 3.1, 3.1; random: −1, 1, 0.2."""
    of = compared(three)
    assert of.baseline.label == "mining=none"
    assert sentences.verdicts(of, of.final) == [
        "mining=ohem is 3.07 points above mining=none (95 % interval +2.92 to +3.21, "
        "Holm p < 0.001, 3 seeds, paired): beyond noise.",
        "mining=random is 0.07 points above mining=none (95 % interval −2.43 to +2.57, "
        "Holm p = 0.92, 3 seeds, paired): within noise; not even 1,000 seeds would show a "
        "difference as small.",
    ]


def test_another_baseline_turns_it_round(three):
    of = compared(three, baseline="mining=ohem")
    assert sentences.verdicts(of, of.final)[0].startswith(
        "mining=none is 3.07 points below mining=ohem"
    )


def test_of_a_loss_low_is_better(three):
    of = compared(three, metric="test/loss")
    assert of.mode == "min"
    first = sentences.verdicts(of, of.final)[0]
    assert first.startswith("mining=ohem is 0.03067 below mining=none, which is better (95 % int")


def test_how_many_more_seeds(make):
    for seed, (base, ours) in enumerate([(0.90, 0.93), (0.91, 0.92), (0.92, 0.93)]):
        make(f"a{seed}", seed, base)
        make(f"b{seed}", seed, ours, groups={"mining": "ohem"})
    of = compared(make("c", 9, 0.9).parent)
    text = sentences.verdicts(of, of.final)[0]
    assert text.endswith(
        "within noise; about 3 more seeds would show a difference of this size (80 % power)."
    )
    found = of.final.rows[1].difference
    assert found is not None
    assert (found.needed, found.seeds) == (6, 3)


def test_only_the_number_of_comparisons_makes_it_noise(make):
    for seed, d in enumerate([0.03, 0.04, 0.05]):
        make(f"a{seed}", seed, 0.9)
        for option in ("ohem", "random", "infobatch"):
            make(f"{option}{seed}", seed, 0.9 + d, groups={"mining": option})
    of = compared(make("x", 3, 0.9).parent)
    assert (
        "within noise once all comparisons are counted; about"
        in sentences.verdicts(of, of.final)[0]
    )
    of = compared(make("y", 4, 0.9).parent, correction="none")
    assert ", p = 0.02, 3 seeds, paired): beyond noise." in sentences.verdicts(of, of.final)[0]


def test_one_seed_says_so(make):
    make("a", 0, 0.90)
    of = compared(make("b", 0, 0.95, groups={"mining": "ohem"}).parent)
    assert sentences.verdicts(of, of.final) == [
        "mining=ohem is 5.00 points above mining=none: one seed, no interval; two of each are the "
        "least, five are of use (-m seed=0,1,2,3,4)."
    ]
    assert "mining=ohem has one seed: no deviation and no interval" in sentences.notes(of)


def test_the_same_in_each_seed(make):
    for seed in range(2):
        make(f"a{seed}", seed, 0.90)
        make(f"b{seed}", seed, 0.90, groups={"mining": "random"})
        folder = make(f"c{seed}", seed, 0.95, groups={"mining": "ohem"})
    of = compared(folder.parent)
    assert sentences.verdicts(of, of.final) == [
        "mining=random equals mining=none in each of 2 seeds.",
        "mining=ohem is 5.00 points above mining=none in each of 2 seeds: with no deviation there "
        "is nothing to judge it by; run more seeds.",
    ]


def test_one_group(make):
    of = compared(make("a", 0, 0.9).parent)
    assert sentences.verdicts(of, of.final) == ["One group: there is nothing to compare it with."]


def test_at_equal_cost(three):
    """Random spends half an epoch's backward passes: at 150 the others are at their first epoch."""
    of = compared(three)
    tables = {table.axis.key: table for table in of.equal if table.axis}
    backward = tables["backward_passes"]
    assert backward.budget == 150
    assert [row.at for row in backward.rows] == [100, 100, 150]
    means = [row.summary.mean for row in backward.rows]
    assert means == pytest.approx([0.71, 0.74067, 0.91067], abs=1e-4)
    assert sentences.verdicts(of, backward)[1].startswith("mining=random is 20.07 points above")
    epochs = tables["epochs"]
    assert (epochs.budget, epochs.metric) == (3, "val/accuracy")


def test_the_cost_of_the_baselines_value(three):
    of = compared(three)
    assert of.target == pytest.approx(0.91)
    assert sentences.costs(of)[1] == (
        "mining=ohem reaches val/accuracy 91.00 % after 3 epochs, 300 examples seen, 300 backward "
        "passes, 4.5 seconds of training (3 of 3 seeds)."
    )
    assert sentences.costs(compared(three, target=0.99))[0].endswith(
        "does not reach val/accuracy 99.00 %."
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.001, 0.002, "not replicated"), (-0.002, -0.001, "not replicated"), (0, 0, "replicated")],
)
def test_what_was_published(three, low, high, verdict):
    """An interval about the difference that is seen, or beside it."""
    row = next(row for row in compared(three).final.rows if row.label == "mining=ohem")
    assert row.difference is not None
    mean = row.difference.mean
    of = compared(three, published=(mean + low, mean + high))
    value, bounds = (
        of.unit.value(mean, sign=True),
        of.unit.bounds(mean + low, mean + high, sign=True),
    )
    want = f"mining=ohem: {value} points, published {bounds}: {verdict}."
    assert want in sentences.replications(of)
    assert {one.label for one in of.replicas} == {"mining=ohem", "mining=random"}


def test_a_lone_group_against_what_was_published(make):
    make("a", 0, 0.91)
    folder = make("b", 1, 0.92).parent
    (two,) = sentences.replications(compared(folder, published=(0.9, 0.93)))
    assert two.endswith(": 91.50 %, published 90.00 to 93.00: no verdict, 3 seeds are the least.")
    make("c", 2, 0.96)
    (three,) = sentences.replications(compared(folder, published=(0.9, 0.93)))
    assert three.endswith(": 93.00 %, published 90.00 to 93.00: replicated.")
    assert sentences.replications(compared(folder)) == []


def test_apples_and_oranges(make):
    make("a", 0, 0.9)
    of = compared(make("b", 0, 0.9, groups={"dataset": "mnist"}).parent)
    assert sentences.notes(of)[0] == (
        "apples and oranges: the groups differ in dataset, so test/accuracy is not of the same "
        "images and labels in each"
    )


def test_what_touches_training_alone_is_no_orange(make):
    noisy = make("a", 0, 0.9).parent
    config = {"dataset": read(noisy / "a").config["dataset"] | {"label_noise": 0.2}}
    make("b", 0, 0.9, settings=config)
    assert not any("apples" in note for note in sentences.notes(compared(noisy)))


def test_other_losses_machines_and_missing_costs_are_told(make):
    make("a", 0, 0.9)
    other = {"device": "cuda:0", "threads": 4, "versions": {"torch": "3"}}
    make("b", 0, 0.9, [], groups={"loss": "focal"}, result=other)
    notes = " ".join(sentences.notes(compared(make("c", 1, 0.9).parent, metric="test/loss")))
    assert "test/loss is another function in each group" in notes
    assert "seconds are of different machines (cpu, 1 threads; cuda:0, 4 threads)" in notes
    assert "2 different versions" in notes
    assert "no table at equal epochs, examples seen" in notes


def test_nothing_to_compare_is_one_line(make):
    folder = make("a", 0, 0.9, state="failed").parent
    with pytest.raises(
        DataError, match=r"no finished training run among 1: .*/a: failed: it broke"
    ):
        compared(folder)
    make("b", 0, 0.9)
    with pytest.raises(ConfigError, match=r"no run has it\. Did you mean test/accuracy\?"):
        compared(folder, metric="test/acuracy")


def test_a_run_without_the_metric_is_left_out(make):
    make("a", 0, 0.9)
    folder = make("b", 1, 0.9, result={"test": {"accuracy": None}}).parent
    of = compared(folder)
    assert [(one.folder.name, one.reason) for one in of.left] == [("b", "has no test/accuracy")]
