from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from trainer.__main__ import CONF, register
from trainer.config.explain import explain
from trainer.core.errors import ConfigError, DataError


def line(*arguments: str, tree: Path | None = None) -> str:
    """What is said of the error that composing a command line ends in."""
    register()
    extra = [f"hydra.searchpath=[file://{tree}]"] if tree else []
    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(Exception) as error,  # noqa: PT011  (whatever it is, it is one line)
    ):
        compose("config", [*arguments, *extra])
    return explain(error.value, [*arguments, *extra], CONF)


TYPOS = {
    "lr=0.1": "optimizer.lr=0.1",
    "learning_rate=0.1": "optimizer.lr=0.1",
    "optimizer.learning_rate=0.1": "optimizer.lr=0.1",
    "optimizer.weigth_decay=0.1": "optimizer.weight_decay=0.1",
    "optimzer=sgd": "optimizer=sgd",
    "optimizer=Adamw": "optimizer=adamw",
    "epoch=3": "epochs=3",
    "num_epochs=3": "epochs=3",
    "batchsize=64": "batch_size=64",
    "batch-size=64": "batch_size=64",
    "Seed=1": "seed=1",
    "devcie=cpu": "device=cpu",
    "loss.label_smothing=0.1": "loss.label_smoothing=0.1",
    "loss=cross_entrop": "loss=cross_entropy",
    "loss=CrossEntropy": "loss=cross_entropy",
    "model=simplecnn": "model=simple_cnn",
    "model.droupout=0.1": "model.dropout=0.1",
    "dataset=digit": "dataset=digits",
    "dataset.val_frac=0.2": "dataset.val_fraction=0.2",
    "minning=ohem": "mining=ohem",
    "mining=ohme": "mining=ohem",
    "scheduler=constant": "schedule=constant",
    "early_stoping=patience": "early_stopping=patience",
    "augmentations=random_crop": "augmentation=random_crop",
    "checkpoint.evry=2ep": "checkpoint.every=2ep",
    "grad_clip=1": "clip=1",
}


@pytest.mark.parametrize(("typed", "meant"), TYPOS.items(), ids=list(TYPOS))
def test_a_typical_typo_gets_the_right_suggestion(typed: str, meant: str) -> None:
    said = line(typed)
    assert said.startswith(f"{typed}: there is no such ")
    assert f" Did you mean {meant}?" in said


def test_a_typo_in_a_chosen_option_is_seen_among_its_settings() -> None:
    said = line("mining=ohem", "mining.kep=0.25")
    assert said == "mining.kep=0.25: there is no such setting. Did you mean mining.keep=0.25?"


@pytest.mark.parametrize("key", ["keep", "kep"])
def test_a_setting_of_another_option_is_led_there(key: str) -> None:
    said = line(f"mining.{key}=0.25")
    assert said.startswith(
        f"mining.{key}=0.25: mining=none has no such setting; mining.keep belongs to mining="
    )
    assert {"ohem", "random"} <= set(said.rpartition("=")[2].split(", "))


def test_a_second_mistake_does_not_hide_the_suggestion() -> None:
    said = line("epoch=3", "seeed=1")
    assert said == "epoch=3: there is no such setting. Did you mean epochs=3?"


# Config files of the user's own


def write(tree: Path, text: str | bytes) -> None:
    (tree / "experiment").mkdir()
    path = tree / "experiment" / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


FILES = {
    "# @package _global_\nepoch: 3\n": (
        "experiment/mine.yaml: epoch: there is no such setting. Did you mean epochs?"
    ),
    "# @package _global_\nepochs: abc\n": "experiment/mine.yaml: epochs must be an integer, got ab",
    "# @package _global_\nlog: 3\n": "experiment/mine.yaml: Merge error: int is not a subclass of ",
    "epochs: 3\n": "experiment/mine.yaml: the first line must be `# @package _global_`",
    "# @package _global_\ndefaults:\n  - override /loss: cross_entrop\n": (
        "loss=cross_entrop: there is no such option. Did you mean loss=cross_entropy? Options: "
    ),
    "# @package _global_\ndefaults:\n  - override /los: focal\n": (
        "los: there is no such setting. Did you mean loss?"
    ),
    "a: [1\n": "{tree}/experiment/mine.yaml:2: expected ',' or ']', but got '<stream end>'",
    "a: 1\na: 2\n": "{tree}/experiment/mine.yaml:2: found duplicate key a",
    "a: !!python/object/apply:os.getcwd []\n": (
        "{tree}/experiment/mine.yaml:1: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.getcwd'"
    ),
}


@pytest.mark.parametrize(("text", "said"), FILES.items(), ids=range(len(FILES)))
def test_a_mistake_in_a_file_names_the_file(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    assert line("experiment=mine", tree=tmp_path).startswith(said.replace("{tree}", str(tmp_path)))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path, b"\xff\xfe")
    assert line("experiment=mine", tree=tmp_path).startswith("a config file is not UTF-8 text: ")


def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    write(tmp_path, f"a: {'[' * 3000}{']' * 3000}\n")
    assert line("experiment=mine", tree=tmp_path) == "a config file is nested too deeply"


# What is said of errors that are the program's own


@pytest.mark.parametrize(
    ("error", "typed", "said"),
    [
        (ConfigError("a.b must be in (0, 1], got -1.0"), "a.b=-1", "got -1"),
        (ConfigError("a.b must be x or y, got 1.0. Did you mean x?"), "a.b=1", "got 1. Did you"),
        (ConfigError("a.b must be in (0, 1], got -1.0"), "a.c=3", "got -1.0"),
        (ConfigError("a.b must be in (0, 1], got -1.0"), "a.b=${c}", "got -1.0"),
        (DataError("a.b: no folder"), "a.b=/x", "a.b=/x: no folder"),
        (OSError(28, "No space left on device", "/x"), "", "/x: No space left on device; hydra."),
        (OSError("plain"), "", "OSError: plain; debug=true shows where"),
        (KeyError(), "", "KeyError: KeyError; debug=true shows where"),
        (ValueError("two\nlines"), "", "two"),
    ],
)
def test_an_error_of_the_programs_own_is_one_line_with_the_value_as_typed(
    error: Exception, typed: str, said: str
) -> None:
    made = explain(error, ["b=1", typed], CONF)
    assert said in made
    assert "\n" not in made
    if "${c}" in typed or "a.c" in typed:
        assert made == str(error)
