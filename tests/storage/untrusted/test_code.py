"""Functions by import path are code too; which code is known."""

import re
from pathlib import Path

import pytest
from hostile import changed, evaluate
from support import make_run, node_of

from trainer.__main__ import CONF
from trainer.config import build
from trainer.core.errors import CheckpointError
from trainer.storage.saved_run import SavedRun, check_code, named_code

PACKAGE = CONF.parent / "trainer"
FUNCTIONS = [
    ("loss", node_of("loss", "function")),
    ("schedule", node_of("schedule", "lambda")),
    ("schedule", node_of("schedule", "multiplicative")),
    ("schedule", node_of("schedule", "adjust")),
]


def test_a_function_by_import_path_is_code_too(copy, tmp_path, bait, marker):
    known = make_run(tmp_path / "r", "job=evaluate").known_code
    saved = SavedRun.at(str(copy))
    original = (copy / "config.yaml").read_text()
    for group, node in FUNCTIONS:
        (copy / "config.yaml").write_text(original)
        changed(copy, lambda config, group=group, node=node: config.update({group: node}))
        assert saved.config(known)[group] == node
        hostile = node | {"function": "owned_by_import.function"}
        path = changed(copy, lambda config, group=group, node=hostile: config.update({group: node}))
        said = f"{path}: {group}.function='owned_by_import.function' is not code"
        with pytest.raises(CheckpointError, match=re.escape(said)):
            saved.config(known)
    assert not marker.exists()


def test_the_command_line_may_name_it_again(copy, tmp_path, monkeypatch):
    """A user's own loss, by its import path."""
    source = (
        "import torch\n\n\ndef mine(o, y):\n    return torch.nn.functional.cross_entropy(o, y)\n"
    )
    (tmp_path / "own_function.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    node = node_of("loss", "function") | {"function": "own_function.mine"}
    changed(copy, lambda config: config.update({"loss": node}))
    assert evaluate(tmp_path / "e", f"run={copy}") == CheckpointError.exit_code
    named = ["loss=function", "loss.function=own_function.mine"]
    assert evaluate(tmp_path / "f", f"run={copy}", *named) == 0


def test_every_import_path_is_in_a_setting_that_is_checked():
    """What calls `imported` gives a setting whose last part is in CODE; nothing else imports."""
    calls = 0
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if "import_module(" in text:
            assert path.name in ("build.py", "launch.py", "pool.py"), "there is one way in"
        for line in text.splitlines():
            if "imported(" in line and "def imported" not in line:
                calls += 1
                assert any(f'.{name}"' in line for name in build.CODE), f"{path}: {line}"
    assert calls == 3


def test_only_code_that_files_name_is_known(tmp_path):
    (tmp_path / "group").mkdir()
    text = (
        "_target_: mine.A\n"
        "function:  'mine.b' # function: not.this\n"
        "# _target_: not.that\n"
        "inner: {_target_: mine.C, my_function: not.it}\n"
        "other: mine.D\n"
    )
    (tmp_path / "group" / "x.yaml").write_text(text)
    (tmp_path / "group" / "y.yaml").write_bytes(b"\xff\n_target_: mine.E\n")
    run = make_run(tmp_path / "r")
    tree = run.known_code
    run.sources = [str(CONF), str(tmp_path)]
    assert run.known_code - tree == {"mine.A", "mine.b", "mine.C", "mine.E"}
    assert {"trainer.loss.cross_entropy.CrossEntropy", "torch.optim.NAdam"} <= tree
    assert not any(name.split(".")[0] not in ("trainer", "torch") for name in tree)


def test_named_code_is_found_in_every_container():
    config = {
        "a": [{"b": ({"_target_": "x"},)}],
        "function": 3,
        "c": {"function": {"_target_": "y"}},
    }
    assert dict(named_code(config)) == {
        "a.0.b.0._target_": "x",
        "function": 3,
        "c.function": {"_target_": "y"},
        "c.function._target_": "y",
    }
    with pytest.raises(CheckpointError, match=r"x: function=3 is not code"):
        check_code({"function": 3}, {"x"}, Path("x"))
    with pytest.raises(CheckpointError, match=r"x: a\._target_=\['x'\] is not code"):
        check_code({"a": {"_target_": ["x"]}}, {"x"}, Path("x"))
