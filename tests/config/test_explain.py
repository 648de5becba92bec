from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from trainer.__main__ import CONF, register
from trainer.config.explain import explain
from trainer.core.errors import ConfigError, DataError


def line(*arguments: str, tree: Path | None = None) -> str:
    """Compose a command line that raises an error; return its explanation."""
    register()
    extra = [f"hydra.searchpath=[file://{tree}]"] if tree else []
    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(Exception) as error,  # noqa: PT011  (any error must be explained)
    ):
        compose("config", [*arguments, *extra])
    return explain(error.value, [*arguments, *extra], CONF)


def test_a_typo_in_a_chosen_options_setting_is_found_despite_a_second_mistake() -> None:
    found = line("mining=ohem", "mining.kep=0.25", "seeed=1")
    assert found.startswith("mining.kep=0.25: ")
    assert "Did you mean mining.keep=0.25?" in found


@pytest.mark.parametrize("key", ["keep", "kep"])
def test_a_setting_of_another_option_names_that_option(key: str) -> None:
    found = line(f"mining.{key}=0.25")
    assert found.startswith(f"mining.{key}=0.25: mining=none has no such setting")
    assert "mining.keep belongs to mining=" in found
    assert {"ohem", "random"} <= set(found.rpartition("=")[2].split(", "))


def test_a_setting_of_an_option_not_chosen_is_found_by_its_last_part() -> None:
    found = line("gamma=2")
    assert "Did you mean loss.gamma=2 with loss=focal" in found


# Config files of the user's own


def write(tree: Path, text: str | bytes) -> None:
    (tree / "experiment").mkdir()
    path = tree / "experiment" / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


PACKAGE = "# @package _global_\n"
FILES = {
    f"{PACKAGE}epoch: 3\n": ("experiment/mine.yaml: epoch: ", "Did you mean epochs?"),
    f"{PACKAGE}epochs: abc\n": ("experiment/mine.yaml: epochs ", "an integer, got ab"),
    f"{PACKAGE}log: 3\n": ("experiment/mine.yaml: ", "int is not a subclass of "),
    "epochs: 3\n": ("experiment/mine.yaml: ", "`# @package _global_`"),
    f"{PACKAGE}defaults:\n  - override /loss: cross_entrop\n": (
        "loss=cross_entrop: ",
        "Did you mean loss=cross_entropy? Options: ",
    ),
    f"{PACKAGE}defaults:\n  - override /los: focal\n": ("los: ", "Did you mean loss?"),
    "a: [1\n": ("{tree}/experiment/mine.yaml:2: ", "expected ',' or ']'"),
    "a: 1\na: 2\n": ("{tree}/experiment/mine.yaml:2: ", "duplicate key a"),
    "a: !!python/object/apply:os.getcwd []\n": ("{tree}/experiment/mine.yaml:1: ", "os.getcwd"),
    f"a: {'[' * 1000}{']' * 1000}\n": ("a config file is nested too deeply", ""),
    b"\xff\xfe": ("a config file is not UTF-8 text: ", ""),
}


@pytest.mark.parametrize(("text", "found"), FILES.items(), ids=range(len(FILES)))
def test_a_mistake_in_a_file_names_the_file(
    text: str | bytes, found: tuple[str, str], tmp_path: Path
) -> None:
    write(tmp_path, text)
    explained = line("experiment=mine", tree=tmp_path)
    assert explained.startswith(found[0].replace("{tree}", str(tmp_path)))
    assert found[1] in explained


# The program's own errors


@pytest.mark.parametrize(
    ("error", "typed", "found"),
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
def test_the_programs_own_errors_are_one_line_with_the_value_as_typed(
    error: Exception, typed: str, found: str
) -> None:
    explained = explain(error, ["b=1", typed], CONF)
    assert found in explained
    assert "\n" not in explained
    if "${c}" in typed or "a.c" in typed:
        assert explained == str(error)


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (["dataset.root=my", "photos"], "'dataset.root=\"my photos\"'"),
        (["hydra.run.dir=a", "b", "c", "seed=1"], "'hydra.run.dir=\"a b c\"'"),
    ],
)
def test_a_space_in_a_value_needs_quotes(words, quoted) -> None:
    assert line(*words).endswith(f"needs quotes: {quoted}")


def test_a_space_before_an_option_is_no_part_of_a_value() -> None:
    assert line("mining=none", "ohem").endswith("Did you mean mining=ohem?")
