"""The READMEs are true: commands compose, links resolve, examples run, tables are complete."""

import re
import shlex
import sys
import types
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from forks import Fork
from support import CONF, config_of, options

from trainer.config.build import build
from trainer.config.compose import sweep_hash
from trainer.config.schema import GROUPS
from trainer.loss import Loss

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "conf", "conf/experiment", "scripts", "trainer", "tests")
PAGES = {str(p): (ROOT / p).read_text() for p in (Path(f) / "README.md" for f in FOLDERS)}
PAGES[".github/CONTRIBUTING.md"] = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
README = PAGES["README.md"]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(page, *found) for page, text in PAGES.items() for found in BLOCK.findall(text)]
COMMAND = re.compile(r"(python -m trainer|\./scripts/train\.sh|(srun )?torchrun .*-m trainer) ")
LINK = re.compile(r"\]\(([^)\s]+)\)")
UNREAL = {  # settings of components that a reader might add, and code that is not a setting
    *("loss=brier", "loss.scale=abc", "loss.scale=-1", "loss=my_loss"),
    *("score=loss", "weights_only=True"),
}


def inline(text: str) -> list[str]:
    """List the code spans of a page, outside its blocks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text).replace("\n", " "))


def joined(text: str) -> list[str]:
    """Split a text into lines, joining those that a backslash continues."""
    return re.sub(r" *\\\n *", " ", text).splitlines()


def commands() -> list[str]:
    """List the commands in pages and YAML comments; those shown with `$` are run below."""
    lines = [line for _, _, block in BLOCKS for line in joined(block)]
    lines += [span for text in PAGES.values() for span in inline(text)]
    for path in CONF.rglob("*.yaml"):
        comments = re.findall(r"^#   (.*\n)", path.read_text(), re.MULTILINE)
        lines += joined("".join(comments))
    return sorted({line for line in lines if COMMAND.match(line) and "GROUP=OPTION" not in line})


def overrides(command: str) -> list[str]:
    """List the overrides of a command; those of a sweep with their first value."""
    for shell, value in ((r"\$\{mining\[.*?\]\}", "none"), (r"\$\(\(.*?\)\)", "0")):
        command = re.sub(shell, value, command)
    words = shlex.split(command, comments=True)
    last = max(i for i, word in enumerate(words) if word in ("trainer", "./scripts/train.sh"))
    given = [word for word in words[last + 1 :] if "=" in word and not word.startswith("-")]
    given = [word for word in given if not word.startswith(("hydra", "loss=my_loss"))]
    return [re.sub(r"^([\w./]+=[^\[{,]*),.*", r"\1", word) for word in given]


def slugs(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def settings(group: str) -> set[str]:
    """Return the settings that at least one option of a group has."""
    nodes = [yaml.safe_load(path.read_text()) for path in (CONF / group).glob("*.yaml")]
    names = {key for node in nodes for key in node}
    return names | ({"mixers"} if group == "mixer" else set())


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command: str) -> None:
    assert config_of(*overrides(command))["job"]


def test_commands_are_found() -> None:
    assert len(commands()) > 30
    assert overrides("python -m trainer -m a=1,2 'b=[1,2]' hydra.run.dir=x  # c=3") == [
        "a=1",
        "b=[1,2]",
    ]


def exists(span: str) -> bool:
    """Return whether `name=value` in a sentence is an option, or a setting of one."""
    name, _, value = span.partition("=")
    first, *rest = name.split(".")
    if first in ("experiment", "sweep"):
        return (
            value in ("", "NAME", "replicate/<paper>") or (CONF / first / f"{value}.yaml").is_file()
        )
    if first in GROUPS and not rest:
        return set(re.split(r"[\[\],]", value)) <= {"", *options(first)}
    if first in GROUPS:
        return rest[0] in settings(first) | set(options(first)) | {"_target_"}
    return first in config_of()


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_in_a_sentence_exists(page: str) -> None:
    spans = {span for span in inline(PAGES[page]) if re.fullmatch(r"[\w.]+=[^ ]*", span)}
    unknown = [s for s in spans - UNREAL if not s.startswith("hydra.") and not exists(s)]
    assert not unknown


def test_an_unknown_setting_in_a_sentence_is_detected() -> None:
    wrong = ("mining=ohm", "mining.keeep=1", "epoch=3", "experiment=mnist")
    assert not any(exists(span) for span in wrong)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page: str) -> None:
    targets = [t for t in LINK.findall(BLOCK.sub("", PAGES[page])) if "://" not in t]
    for target in targets:
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page}: {target}"
        assert not anchor or anchor in slugs(path.read_text()), f"{page}: {target}"
    assert targets, "a page without links"


def examples(page: str) -> list[str]:
    """List the Python blocks of a page, without those that show a file to add."""
    blocks = [block for place, language, block in BLOCKS if (place, language) == (page, "python")]
    return [block for block in blocks if not re.match(r"# \w+/", block)]


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block continues from those before it."""
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "example"}
    with torch.random.fork_rng():
        for block in examples(page):
            exec(compile(block, f"{page}: {block[:60]}", "exec"), names)  # noqa: S102
    assert len(names) > 1, "the blocks define something"


@pytest.mark.parametrize("block", [block for _, _, block in BLOCKS if block.startswith("$ ")])
def test_the_output_shown_is_the_output(block: str, tmp_path: Path) -> None:
    command, *shown = block.splitlines()
    dollar, python, m, program, *words = shlex.split(command)
    assert (dollar, python, m, program) == ("$", "python", "-m", "trainer")
    _, out, err = Fork(tmp_path, *words).done()
    for line in shown:
        assert line in (out + err).decode().splitlines()


def test_the_sweep_folder_shown_is_that_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.findall(r"python -m (trainer -m .*)\n.*runs=outputs/sweep-(\w+)", README)
    for command, folder in shown:
        monkeypatch.setattr(sys, "argv", command.split())
        assert sweep_hash() == folder
    assert shown


def test_the_example_of_a_component_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class, the YAML and the test that the README adds."""
    blocks = {block.splitlines()[0].lstrip("# "): block for _, _, block in BLOCKS}
    module = types.ModuleType("trainer.loss.brier")
    exec(blocks["trainer/loss/brier.py"], module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "trainer.loss.brier", module)
    loss = build(yaml.safe_load(blocks["conf/loss/brier.yaml"]), "loss", Loss)
    assert loss.scale == 1.0
    tests: dict = {}
    exec(blocks["tests/loss/test_brier.py"], tests)  # noqa: S102
    tests["test_by_hand"]()


def test_the_readme_is_short_and_starts_with_two_commands() -> None:
    assert len(README.splitlines()) <= 250
    first = README[: README.index("**")]
    assert "./scripts/train.sh" in first
    assert "./scripts/test.sh" in first


def test_the_table_of_groups_names_every_option() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE))
    assert set(table) >= set(GROUPS)
    for group in GROUPS:
        named = set(re.findall(r"`([\w=]+)`", table[group]))
        assert set(options(group)) <= named, f"{group}: {set(options(group)) - named}"


def test_the_table_of_settings_names_every_setting() -> None:
    named = set(re.findall(r"`(\w+)[.=`]", PAGES["conf/README.md"]))
    assert config_of().keys() - set(GROUPS) <= named


def test_every_experiment_and_script_has_a_row() -> None:
    for path in (CONF / "experiment").glob("*.yaml"):
        assert path.stem in PAGES["conf/experiment/README.md"], path.stem
    scripts = [
        p for p in (ROOT / "scripts").iterdir() if re.match(r"bench_|torture\.|.*\.sh", p.name)
    ]
    for path in scripts:
        assert f"`{path.name}" in PAGES["scripts/README.md"], path.name


def floors() -> list[set[str]]:
    """Return the rooms of each floor in the table of trainer/README.md, the lowest first."""
    rows = re.findall(r"^\| \d+ \|(.*)\|$", PAGES["trainer/README.md"], re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", row)) for row in reversed(rows)]


def test_every_room_has_a_floor_and_a_row() -> None:
    rooms = {path.parent.name for path in (ROOT / "trainer").glob("*/__init__.py")}
    drawn = [room for floor in floors() for room in floor]
    assert sorted(drawn) == sorted(rooms | {"__main__"})
    section = PAGES["trainer/README.md"].split("\n## Rooms\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)
    assert sorted(lines) == sorted(rooms)


def test_the_floors_in_the_table_are_those_checked() -> None:
    assert floors() == pytest.importorskip("test_layout").FLOORS


def test_no_placeholder_is_left() -> None:
    for page, text in PAGES.items():
        assert "@" not in re.sub(r"@package|mixer@|TERM@", "", text), page
    assert (ROOT / ".github" / "dashboard.png").is_file()
