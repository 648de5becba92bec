import pytest

from trainer.core.suggest import did_you_mean, suggest

KNOWN = [
    "loss",
    "loss.label_smoothing",
    "optimizer.lr",
    "optimizer.weight_decay",
    "batch_size",
    "checkpoint.keep",
    "mining.keep",
    "log.every",
    "hydra.run.dir",
]


@pytest.mark.parametrize(
    ("word", "closest"),
    [
        ("loss.lable_smoothing", ["loss.label_smoothing"]),
        ("loss.lr", ["optimizer.lr"]),  # of another parent
        ("LR", ["optimizer.lr"]),
        ("learning-rate", ["optimizer.lr"]),  # as other programs call it
        ("optimizer.wd", ["optimizer.weight_decay"]),
        ("keep", ["checkpoint.keep", "mining.keep"]),  # equally similar
        ("mining.kep", ["mining.keep"]),
        ("hydra.run.dr", ["hydra.run.dir"]),
        ("dir", []),  # Hydra's settings are suggested only for names that start with hydra
        ("loss.bar", []),
        ("zzz", []),
    ],
)
def test_the_closest_names(word: str, closest: list[str]) -> None:
    assert suggest(word, KNOWN) == closest


def test_siblings_leaves_out_settings_under_other_parents() -> None:
    assert suggest("loss.lr", KNOWN, siblings=True) == []
    assert suggest("loss.labels_smoothing", KNOWN, siblings=True) == ["loss.label_smoothing"]


def test_without_known_names_nothing_is_suggested() -> None:
    assert suggest("lr", []) == []
    assert did_you_mean("lr", []) == ""


def test_lines_of_overrides_are_compared_whole() -> None:
    groups = ["mining=none", "mining=ohem mining.keep=0.25"]
    assert suggest("mining=ohm mining.keep=0.5", groups) == groups[1:]


def test_a_suggestion_is_a_sentence_with_a_prefix() -> None:
    assert did_you_mean("layr3", ["layer1", "layer3"], prefix="until:") == (
        " Did you mean until:layer3?"
    )
    assert did_you_mean("gamm", ["alpha", "gamma"], start=". ") == ". Did you mean gamma?"


def test_what_a_word_abbreviates_comes_before_what_is_as_short() -> None:
    assert suggest("test/acc", ["test/auroc", "test/accuracy"]) == ["test/accuracy"]
