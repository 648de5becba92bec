"""Checkpoints: written atomically, and verified before they are read."""

import errno
import hashlib
import json
import pickle
import random

import pytest
import torch

from trainer.core.errors import CheckpointError, DiskError
from trainer.storage import checkpoint

MODEL = {"weight": torch.arange(6.0).view(2, 3), "tracked": torch.tensor(3)}
STATE = {"progress": {"step": 7}, "moments": [torch.ones(2)]}


def saved(folder, step=7):
    return checkpoint.save(folder, step, MODEL, STATE, {"seed": 0})


def test_a_saved_checkpoint_is_loaded_unchanged(tmp_path):
    loaded = checkpoint.load(saved(tmp_path))
    assert torch.equal(loaded.model["weight"], MODEL["weight"])
    assert torch.equal(loaded.state["moments"][0], torch.ones(2))
    assert loaded.config == {"seed": 0}
    assert {path.name for path in loaded.path.iterdir()} == {
        "model.safetensors",
        "state.pt",
        "config.json",
        "manifest.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


def test_what_the_model_was_trained_on_is_part_of_the_manifest(tmp_path):
    path = checkpoint.save(tmp_path, 7, MODEL, STATE, {}, {"classes": ["a"]})
    assert json.loads((path / checkpoint.DATA).read_text()) == {"classes": ["a"]}
    checkpoint.verify(path)
    (path / checkpoint.DATA).write_text('{"classes": ["b"]}')
    with pytest.raises(CheckpointError, match=r"data\.json is damaged"):
        checkpoint.verify(path)


def test_tied_and_strided_tensors_are_restored(tmp_path):
    shared = torch.arange(12.0).view(3, 4)
    model = {"a": shared, "b": shared, "t": shared.T, "row": shared[1]}
    loaded = checkpoint.load(checkpoint.save(tmp_path, 1, model, {}, {}))
    for name, value in model.items():
        assert torch.equal(loaded.model[name], value)


def test_every_flipped_bit_and_truncation_is_detected(tmp_path):
    saved(tmp_path, 1)
    path = saved(tmp_path, 2)
    rng = random.Random(0)
    for _ in range(60):
        file = path / rng.choice(checkpoint.FILES)
        good = file.read_bytes()
        if rng.random() < 0.8:
            at = rng.randrange(len(good))
            file.write_bytes(good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :])
        else:
            file.write_bytes(good[: rng.randrange(len(good))])
        warnings = []
        loaded = checkpoint.latest(tmp_path, warnings.append)
        assert loaded.path.name == "step-1"
        (warning,) = warnings
        assert "step-2" in warning
        assert "step-1" in warning
        file.write_bytes(good)
    assert checkpoint.latest(tmp_path, pytest.fail).path.name == "step-2"


def test_if_all_are_damaged_the_error_gives_each_reason(tmp_path):
    for step in (1, 2):
        (saved(tmp_path, step) / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-2.*step-1"):
        checkpoint.latest(tmp_path, pytest.fail)
    assert checkpoint.latest(tmp_path / "none", pytest.fail) is None


def test_a_pickle_runs_no_code(tmp_path, monkeypatch):
    """Even with a matching manifest, and with torch's safe default disabled by the environment."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "owned"), "w")

    path = saved(tmp_path)
    for body in (pickle.dumps(Evil()), None):
        if body is None:
            torch.save(Evil(), path / "state.pt")
        else:
            (path / "state.pt").write_bytes(body)
        manifest = json.loads((path / "manifest.json").read_text())
        data = (path / "state.pt").read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        manifest["state.pt"] = {"size": len(data), "sha256": digest}
        (path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(CheckpointError):
            checkpoint.load(path)
    assert not (tmp_path / "owned").exists()


def test_pruning_keeps_the_newest_and_the_protected(tmp_path):
    for step in (1, 2, 3, 4, 5):
        saved(tmp_path, step)
        checkpoint.prune(tmp_path, 2, {2})
    assert checkpoint.steps(tmp_path) == [5, 4, 2]


def test_saving_a_step_again_replaces_it(tmp_path):
    saved(tmp_path)
    checkpoint.save(tmp_path, 7, MODEL, {"new": True}, {})
    assert checkpoint.latest(tmp_path, pytest.fail).state == {"new": True}
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


@pytest.mark.parametrize("at", range(1, 7))
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, at):
    saved(tmp_path, 1)
    real, calls = checkpoint.os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(DiskError, match=rf"disk full: .*{tmp_path}"):
        saved(tmp_path, 2)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".tmp-*"))
    # Only the last sync, of the folder itself, comes after the rename.
    expected = "step-1" if at < 6 else "step-2"
    assert checkpoint.latest(tmp_path, pytest.fail).path.name == expected


def test_leftovers_of_interrupted_saves_are_removed(tmp_path):
    (tmp_path / ".tmp-dead").mkdir()
    (tmp_path / ".tmp-dead" / "state.pt").write_text("half")
    saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


def test_a_step_being_replaced_is_always_found(tmp_path, monkeypatch):
    """After a kill between the two renames, the replaced checkpoint is still found."""
    saved(tmp_path)
    real = checkpoint.Path.rename

    def killed(path, target):
        if path.name.startswith(".tmp-"):
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(checkpoint.Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path)
    monkeypatch.undo()
    assert checkpoint.latest(tmp_path, pytest.fail).state["progress"] == {"step": 7}
    saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


def test_links_are_refused(tmp_path):
    real = saved(tmp_path / "real")
    (tmp_path / "step-9").symlink_to(real)
    with pytest.raises(CheckpointError, match="link"):
        checkpoint.load(tmp_path / "step-9")
