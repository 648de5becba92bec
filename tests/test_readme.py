"""The README is true: its commands compose, its example works, its table names every option."""

import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import yaml
from support import CONF, config_of, options

from trainer.config.build import build
from trainer.config.schema import GROUPS
from trainer.loss import Loss

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for _, block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"(\$ )?(python -m trainer|trainer|\./scripts/train\.sh) ", line)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command):
    """Sweeps by their first value. The wrong command that shows an error is left to test_cli."""
    words = shlex.split(command.removeprefix("$ ").removeprefix("python -m "))[1:]
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    if command.startswith("$ "):
        pytest.skip("shows an error")
    firsts = [re.sub(r"^([\w./]+=[^\[{,]*),.*", r"\1", override) for override in overrides]
    assert config_of(*firsts)["job"]


def test_there_are_commands():
    assert len(COMMANDS) > 8


def test_the_example_of_a_component_works(tmp_path, monkeypatch):
    """Class, YAML and test as they stand in the README."""
    blocks = {block.splitlines()[0].lstrip("# "): block for _, block in BLOCKS}
    module = types.ModuleType("trainer.loss.brier")
    exec(blocks["trainer/loss/brier.py"], module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "trainer.loss.brier", module)
    loss = build(yaml.safe_load(blocks["conf/loss/brier.yaml"]), "loss", Loss)
    assert loss.scale == 1.0
    tests: dict = {}
    exec(blocks["tests/loss/test_brier.py"], tests)  # noqa: S102
    tests["test_by_hand"]()


def test_the_table_names_every_option():
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE))
    assert set(table) >= set(GROUPS)
    for group in GROUPS:
        named = set(re.findall(r"`([\w=]+)`", table[group]))
        assert set(options(group)) <= named, f"{group}: {set(options(group)) - named}"


def test_no_figure_is_missing():
    assert "@" not in re.sub(r"@package|mixer@|TERM@", "", README)
    assert (CONF.parent / ".github" / "dashboard.png").is_file()
