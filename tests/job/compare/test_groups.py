"""Groups differ in more than the seed, and are named as on the command line."""

import re

import pytest

from trainer.core.errors import ConfigError
from trainer.job.compare.comparison import choose_metric
from trainer.job.compare.groups import find_baseline, group_runs
from trainer.job.compare.runs import read_run


def groups_of(*folders, ignore=()):
    return group_runs([read_run(folder) for folder in folders], ignore)


def test_groups_are_named_by_the_options_and_settings_that_differ(make, node):
    """`mining.keep` is named only for ohem, where it differs; shared settings are not named."""
    half, quarter = (node("mining", "ohem") | {"keep": keep} for keep in (0.5, 0.25))
    groups, repeated = groups_of(
        make("a", 0, 0.9, settings={"epochs": 3}),
        make("b", 1, 0.9, settings={"epochs": 3}),
        make("c", 0, 0.9, settings={"epochs": 3, "mining": half}),
        make("d", 0, 0.9, settings={"epochs": 3, "mining": quarter}),
        make("e", 0, 0.9, groups={"mining": "random"}, settings={"epochs": 3}),
    )
    assert [one.label for one in groups] == [
        "mining=none",
        "mining=ohem mining.keep=0.5",
        "mining=ohem mining.keep=0.25",
        "mining=random",
    ]
    assert [one.seeds for one in groups] == [[0, 1], [0], [0], [0]]
    assert repeated == []


def test_settings_that_do_not_affect_results_do_not_separate_groups(make):
    groups, _ = groups_of(
        make("a", 0, 0.9),
        make("b", 1, 0.9, settings={"quiet": True, "threads": 1, "device": "cpu"}),
        make("c", 2, 0.9, groups={"loader": "memory", "compare": "bootstrap"}),
    )
    assert [(one.label, one.seeds) for one in groups] == [("all runs", [0, 1, 2])]


def test_a_hash_names_a_group_only_where_the_file_does_not(make, node):
    """Two contents of one file are two groups; two files are named without their hashes."""

    def corrected(name, file, digest):
        data = node("dataset", "digits") | {"corrections": file, "corrections_sha256": digest}
        return make(name, 0, 0.9, settings={"dataset": data})

    runs = corrected("a", None, None), corrected("b", "x.csv", "12"), corrected("c", "x.csv", "34")
    assert [one.label for one in groups_of(*runs[:2])[0]] == [
        "dataset.corrections=null",
        "dataset.corrections=x.csv",
    ]
    assert [one.label for one in groups_of(*runs[1:])[0]] == [
        "dataset.corrections_sha256=12",
        "dataset.corrections_sha256=34",
    ]


def fine_tuned(make, names):
    """Write runs with the given seeds, trained from scratch or fine-tuned from the named run."""
    return [
        make(f"r{i}", seed, 0.9, settings={"finetune": {"source": name, "freeze": "none"}})
        for i, (seed, name) in enumerate(names)
    ]


def test_one_source_run_per_seed_counts_as_one_setting(make):
    names = [(0, None), (1, None), (0, "a/source-0"), (1, "a/source-1"), (1, "b/1"), (10, "b/10")]
    groups, repeated = groups_of(*fine_tuned(make, names))
    assert [(one.label, one.seeds) for one in groups] == [
        ("finetune.source=null", [0, 1]),
        ("finetune.source=a/source-${seed}", [0, 1]),
        ("finetune.source=b/${seed}", [1, 10]),
    ]
    assert repeated == []


def test_pruned_runs_whose_references_have_their_seeds_are_one_group(make, node):
    def pruned(seed):
        own = node("sampler", "prune") | {"reference": f"a/{seed}"}
        return make(f"r{seed}", seed, 0.9, settings={"sampler": own})

    groups, _ = groups_of(pruned(1), pruned(2))
    assert [(one.label, one.seeds) for one in groups] == [("all runs", [1, 2])]


def test_a_number_in_a_path_that_equals_the_seed_by_chance_is_kept(make):
    names = [(1, "outputs/1/a"), (2, "outputs/1/a"), (1, "outputs/2/a"), (2, "outputs/2/a")]
    groups, _ = groups_of(*fine_tuned(make, names))
    assert [(one.label, one.seeds) for one in groups] == [
        ("finetune.source=outputs/1/a", [1, 2]),
        ("finetune.source=outputs/2/a", [1, 2]),
    ]


def test_null_and_lists_of_components_are_named(make, node):
    none, crop = ({name: node("augmentation", name)} for name in ("none", "random_crop"))
    groups, _ = groups_of(
        make("a", 0, 0.9, settings={"ema": None}),
        make("b", 0, 0.9, settings={"ema": 0.99, "augmentation": crop}),
        make("c", 0, 0.9, settings={"ema": 0.99, "augmentation": none}),
    )
    assert [one.label for one in groups] == [
        "augmentation=[none] ema=null",
        "augmentation=[random_crop] ema=0.99",
        "augmentation=[none] ema=0.99",
    ]
    assert find_baseline(groups, None) is groups[0]


def test_a_user_class_is_named_in_full_and_not_imported(make):
    own = {"_target_": "no.such.module.Class"}
    groups, _ = groups_of(make("a", 0, 0.9), make("b", 0, 0.9, settings={"loss": own}))
    assert groups[1].label == "loss=no.such.module.Class"


def test_a_seed_run_twice_counts_once(make):
    groups, repeated = groups_of(make("a", 0, 0.9), make("b", 0, 0.9), make("c", 1, 0.8))
    assert groups[0].seeds == [0, 1]
    assert [one.folder.name for one in repeated] == ["b"]
    assert re.search("repeats seed 0 of .*/a$", repeated[0].reason)


def test_ignored_settings_do_not_separate_groups(make):
    runs = [make(str(i), i, 0.9, settings={"clip": i + 1.0}) for i in range(3)]
    assert len(groups_of(*runs)[0]) == 3
    assert [one.seeds for one in groups_of(*runs, ignore=["clip"])[0]] == [[0, 1, 2]]


def test_the_baseline_is_found_by_option_setting_or_words_of_its_label(make):
    groups, _ = groups_of(
        make("a", 0, 0.9, groups={"mining": "ohem"}),
        make("b", 0, 0.9, settings={"epochs": 3}),
        make("c", 0, 0.9, settings={"epochs": 5}),
    )
    labels = [one.label for one in groups]
    assert labels == ["mining=ohem epochs=30", "mining=none epochs=3", "mining=none epochs=5"]
    assert find_baseline(groups, None) is groups[1]
    assert find_baseline(groups, "epochs=5") is groups[2]
    assert find_baseline(groups, "ohem") is groups[0]
    assert find_baseline(groups, "none 5") is groups[2]
    assert find_baseline(groups, "mining=none epochs=5 model=simple_cnn") is groups[2]
    with pytest.raises(ConfigError, match=r"=mining=none matches 2 groups: .* epochs=5"):
        find_baseline(groups, "mining=none")
    with pytest.raises(ConfigError, match=r"Did you mean mining=none epochs=3\?"):
        find_baseline(groups, "mining=nome epochs=3")


def test_without_a_plain_option_the_first_group_is_the_baseline(make):
    focal, dice = make("a", 0, 0.9, groups={"loss": "focal"}), make("b", 0, 0.9)
    groups, _ = groups_of(focal, dice)
    assert find_baseline(groups, None) is groups[0]


def test_names_are_one_short_printable_line(make):
    groups, _ = groups_of(
        make("a", 0, 0.9), make("b", 0, 0.9, settings={"clip": "x\n\x1b[31m" + "y" * 1000})
    )
    assert "\n" not in groups[1].label
    assert "\x1b" not in groups[1].label
    assert len(groups[1].label) < 250


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        ({"loss": 1.0, "map_50": 0.7, "map": 0.5}, "test/map"),
        ({"loss": 1.0, "accuracy": 0.9, "mean_iou": 0.5}, "test/mean_iou"),
        ({"loss": 1.0, "exact_match": 0.9, "mAP": 0.5}, "test/mAP"),
        ({"loss": 1.0, "mae": 0.9}, "test/loss"),
    ],
)
def test_the_metric_is_that_of_the_task(make, metrics, chosen):
    run = read_run(make("a", 0, 0.9, result={"test": metrics}))
    assert choose_metric([run], None) == chosen
