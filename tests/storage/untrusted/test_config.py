"""A config from elsewhere may name no unknown code."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hostile import changed, evaluate, in_process, only_checkpoint
from support import make_run, node_of, train
from torture_parts.foreign_state import forge, saved

from trainer.core.errors import CheckpointError, DataError
from trainer.storage import checkpoint, untrusted
from trainer.storage.config_file import read_config
from trainer.storage.saved_run import HARMLESS, SavedRun

TARGETS = (
    "os.system",
    "posix.system",
    "os.popen",
    "os.execv",
    "os.spawnl",
    "os.remove",
    "subprocess.run",
    "subprocess.Popen",
    "subprocess.check_output",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "builtins.__import__",
    "builtins.compile",
    "importlib.import_module",
    "runpy.run_path",
    "pickle.loads",
    "shutil.rmtree",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load_inline",
    "joblib.load",
    "numpy.load",
    "pathlib.Path.unlink",
    "hydra.utils.call",
    "owned_by_import.function",
    "trainer.storage.checkpoint.shutil.rmtree",
)


def nested(target: str, how: str) -> tuple[str, Callable[[dict[str, Any]], None]]:
    """Return the key under which a target is hidden, and the function that hides it in a config."""
    node = {"_target_": target, "_args_": ["touch owned"]}

    def as_group(config: dict[str, Any]) -> None:
        config["model"] = node

    def in_settings(config: dict[str, Any]) -> None:
        config["loss"]["arguments"] = {"deep": {"er": node}}

    def in_list(config: dict[str, Any]) -> None:
        config["model"]["hidden"] = [16, [node]]

    def by_reference(config: dict[str, Any]) -> None:
        config["shelf"] = {"evil": node}
        config["model"] = "${shelf.evil}"

    def by_name(config: dict[str, Any]) -> None:
        config["shelf"] = target
        config["model"]["_target_"] = "${shelf}"

    ways = {
        "group": ("model._target_", as_group),
        "settings": ("loss.arguments.deep.er._target_", in_settings),
        "list": ("model.hidden.1.0._target_", in_list),
        "reference": ("model", by_reference),
        "name": ("model._target_", by_name),
    }
    return ways[how]


@pytest.mark.parametrize("how", ["group", "settings", "list", "reference", "name"])
def test_a_hostile_target_is_named_and_not_imported(copy, tmp_path, how):
    known = make_run(tmp_path / "r", "job=evaluate").known_code
    config = (copy / "config.yaml").read_text()
    before = set(sys.modules)
    for target in TARGETS if how == "group" else TARGETS[-3:]:
        key, change = nested(target, how)
        path = changed(copy, change)
        with pytest.raises(CheckpointError) as caught:
            SavedRun.at(str(copy)).config(known)
        assert str(caught.value).startswith(f"{path}: {key}")
        path.write_text(config)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "overrides",
    [
        ["job=evaluate", "run={}"],
        ["job=predict", "run={}"],
        ["job=examples", "run={}"],
        ["job=evaluate", "runs=[{}]"],
        ["distill=soft_target", "distill.teacher={}"],
    ],
    ids=" ".join,
)
def test_every_job_that_reads_runs_refuses_a_hostile_target(
    copy, tmp_path, bait, marker, capsys, overrides
):
    key, change = nested("owned_by_import.function", "list")
    changed(copy, change)
    arguments = [override.format(copy) for override in overrides]
    assert in_process(tmp_path / "new", *arguments) == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"config.yaml: {key}" in error
    assert not marker.exists()


TEXTS = {
    "tag": ("a: !!python/object/apply:os.system ['x']\n", "it has a tag"),
    "module": ("a: !!python/module:owned_by_import\n", "it has a tag"),
    "object": ("!!python/object/new:os.system [x]\n", "it has a tag"),
    "a date by its tag": ("a: !!timestamp x\n", "it has a tag"),
    "a number by its tag": ("a: !!int ''\n", "it has a tag"),
    "a date": ("a: [{b: 2001-01-01}]\n", r"a\[0\]\.b is a date"),
    "a key that is a number": ("loss: {1: x}\n", "loss has the key 1"),
    "aliases": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)),
        "aliases",
    ),
    "merges": (
        "a0: &a0 {x: 1, y: 2}\n"
        + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30)),
        "aliases",
    ),
    "itself": ("a: &a [*a]\n", "refers to"),
    "deep": (f"a: {'[' * 100_000}", "nested more than 50"),
    "long number": (f"a: {'9' * 10_000}\n", "more than 100 characters"),
    "long number of base 16": (f"a: 0x{'F' * 5000}\n", "more than 100 characters"),
    "long number of base 60": (f"a: 1{':1' * 500_000}\n", "more than 100 characters"),
    "huge number of base 60": (f"a: 1{':1' * 200}.0\n", "more than 100 characters"),
    "invalid date": ("a: 2001-99-99\n", "ValueError"),
    "too large": ("#" * (untrusted.LARGEST + 1), "larger than"),
    "not UTF-8": ("\ud800", "read"),
    "a list": ("[1]", "is not a config"),
    "a group that is not a mapping": ("loss: 3\n", r"loss .* got 3"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_malformed_config_is_refused(tmp_path, bait, marker, text, message):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


def test_a_seed_that_is_none_is_refused(copy, tmp_path, capsys):
    changed(copy, lambda config: config.update(seed=[1]))
    assert evaluate(tmp_path / "e", f"run={copy}") == CheckpointError.exit_code
    assert "config.yaml: seed must be an integer, got [1]" in capsys.readouterr().err


def test_the_environment_is_not_read(copy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SECRET", "the-secret")
    node = node_of("dataset", "image_folder") | {"root": "${oc.env:SECRET}"}
    changed(copy, lambda config: config.update({"dataset": node, "note": "${oc.env:SECRET}"}))
    assert evaluate(tmp_path / "e", f"run={copy}") == DataError.exit_code
    error = capsys.readouterr().err
    assert "${oc.env:SECRET}" in error
    for path in (tmp_path / "e").rglob("*"):
        assert path.is_dir() or b"the-secret" not in path.read_bytes()
    assert "the-secret" not in error


def test_a_saved_config_downloads_and_caches_nothing(copy, tmp_path, capsys):
    root, cache = tmp_path / "root", tmp_path / "cache"
    node = node_of("dataset", "mnist") | {"root": str(root), "download": True, "cache": str(cache)}
    changed(copy, lambda config: config.update({"dataset": node}))
    config = SavedRun.at(str(copy)).config(make_run(tmp_path / "r").known_code)
    assert {name: config["dataset"][name] for name in HARMLESS} == HARMLESS
    del node["cache"]
    changed(copy, lambda config: config.update({"dataset": node}))
    assert evaluate(tmp_path / "e", f"run={copy}") == DataError.exit_code
    assert "dataset.download=true" in capsys.readouterr().err
    assert not root.exists()


def test_a_checkpoints_config_is_checked_before_a_run_resumes(copy, bait, marker, capsys):
    path = only_checkpoint(copy)
    config = json.loads((path / "config.json").read_text())
    config["loss"] = {"_target_": "owned_by_import.function"}
    forge(path, "config.json", json.dumps(config).encode())
    (copy / "status.json").write_text('{"state": "preempted"}')
    settings = ["model.hidden=[16]", "postprocess=temperature", "epochs=2", "resume=auto"]
    assert train(copy, *settings, "resume_allow=[loss]") == CheckpointError.exit_code
    start = f"{path / 'config.json'}: loss._target_='owned_by_import.function'"
    assert capsys.readouterr().err.startswith(start)
    assert not marker.exists()


@pytest.mark.parametrize("change", [{"progress": None}, {"optimizer": {}}, None])
def test_a_malformed_state_is_exit_code_5(copy, capsys, change):
    path = only_checkpoint(copy)
    state = {} if change is None else checkpoint.load(path).state | change
    forge(path, "state.pt", saved(state))
    (copy / "status.json").write_text('{"state": "preempted"}')
    settings = ["model.hidden=[16]", "postprocess=temperature", "epochs=2", "resume=auto"]
    assert train(copy, *settings) == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"{path} ")
    assert error.count("\n") == 1


def test_weights_of_another_model_are_exit_code_5(copy, tmp_path, capsys):
    changed(copy, lambda config: config["model"].update(hidden=[8]))
    assert evaluate(tmp_path / "e", f"run={copy}") == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"{only_checkpoint(copy)} ")
    assert "size mismatch" in error
    assert error.count("\n") == 1


def test_libraries_may_not_load_files_themselves():
    from trainer.model.timm import LOADING, Timm
    from trainer.model.torchvision import Torchvision

    assert "checkpoint_path" in LOADING
    for cls, name in ((Timm, "checkpoint_path"), (Torchvision, "weights_backbone")):
        with pytest.raises(ValueError, match=rf"model\.arguments\.{name}"):
            cls(shape=(3, 32, 32), outputs=2, arguments={name: "evil.pth"})
