"""Functions by import path are code too; what counts as known code, and where it is found."""

import shutil
from pathlib import Path

import pytest
from hostile import changed, evaluate
from support import make_run, node_of

from trainer.__main__ import CONF
from trainer.config import build
from trainer.core.errors import CheckpointError
from trainer.storage.saved_run import check_code, known_code, named_code

PACKAGE = CONF.parent / "trainer"


@pytest.mark.parametrize(("group", "option"), [("loss", "function"), ("schedule", "adjust")])
def test_a_function_by_import_path_is_code_too(copy, tmp_path, bait, marker, capsys, group, option):
    node = node_of(group, option)
    changed(copy, lambda config: config.update({group: node}))
    assert evaluate(tmp_path / "as in the tree", f"run={copy}") == 0
    hostile = node | {"function": "owned_by_import.function"}
    path = changed(copy, lambda config: config.update({group: hostile}))
    assert evaluate(tmp_path / "e", f"run={copy}") == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"{path}: {group}.function='owned_by_import.function'")
    assert not marker.exists()


@pytest.mark.parametrize("option", ["lambda", "multiplicative"])
def test_other_schedules_by_import_path_are_checked_too(option):
    config = {"schedule": node_of("schedule", option)}
    code = dict(named_code(config))
    assert "schedule.function" in code
    check_code(config, set(code.values()), Path("x"))
    with pytest.raises(CheckpointError, match=r"schedule\.function="):
        check_code(config, {config["schedule"]["_target_"]}, Path("x"))


def test_the_command_line_may_name_a_runs_own_function(copy, tmp_path, monkeypatch):
    """The user's own loss, by its import path."""
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
    """Callers of `import_callable` pass a setting that ends in one of CODE; no other imports."""
    calls = 0
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if "import_module(" in text:
            assert path.name in ("build.py", "launch.py", "lazy.py", "pool.py"), (
                "imports elsewhere than in the checked places"
            )
        for line in text.splitlines():
            if "import_callable(" in line and "def import_callable" not in line:
                calls += 1
                assert any(f'.{name}"' in line for name in build.CODE), f"{path}: {line}"
    assert calls == 3


def test_only_code_named_by_files_is_known(tmp_path):
    (tmp_path / "loss").mkdir()
    text = (
        "_target_: mine.A\n"
        "function:  'mine.b' # function: not.this\n"
        "# _target_: not.that\n"
        "inner: {_target_: mine.C, my_function: not.it}\n"
        "other: mine.D\n"
    )
    (tmp_path / "loss" / "x.yaml").write_text(text)
    (tmp_path / "loss" / "y.yaml").write_bytes(b"\xff\n_target_: mine.E\n")
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
    with pytest.raises(CheckpointError, match=r"x: function=3 "):
        check_code({"function": 3}, {"x"}, Path("x"))
    with pytest.raises(CheckpointError, match=r"x: a\._target_=\['x'\] "):
        check_code({"a": {"_target_": ["x"]}}, {"x"}, Path("x"))


@pytest.mark.parametrize("place", ["downloads/foreign", "foreign", "loss/foreign", "loss", "."])
@pytest.mark.parametrize("status", [True, False])
def test_a_run_below_a_config_folder_does_not_vouch_for_its_own_code(
    copy: Path, tmp_path: Path, marker: Path, *, place: str, status: bool
) -> None:
    """`--config-dir pa` and `run=pa/downloads/foreign`, with and without a status.json."""
    node = {"_target_": "subprocess.Popen", "args": ["touch", str(marker)]}
    changed(copy, lambda config: config.update({"loss": node}))
    folder = tmp_path / "pa"
    shutil.copytree(copy, folder / place)
    if not status:
        (folder / place / "status.json").unlink()
        if place in ("loss", "."):
            return  # a YAML file that the user has put into a group, or into the folder itself
    assert "subprocess.Popen" not in known_code([str(CONF), str(folder)], {})


def test_files_of_groups_and_of_the_config_folder_itself_vouch(tmp_path: Path) -> None:
    for place in (
        "loss/mine.yaml",
        "mine.yaml",
        "experiment/mine.yaml",
        "hydra/launcher/mine.yaml",
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"_target_: mine.{path.parent.name.replace('-', '_')}")
    named = known_code([str(tmp_path)], {})
    assert {"mine.loss", "mine.experiment", "mine.launcher"} <= named
    assert f"mine.{tmp_path.name}" in named or "-" in tmp_path.name
    (tmp_path / "status.json").touch()
    assert not {name for name in known_code([str(tmp_path)], {}) if name.startswith("mine.")}
