"""What `resume` does with a folder: which checkpoint it takes, and when it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hostile import in_process
from PIL import Image
from support import CONF, config_of, events, read_json, train
from torture_parts.foreign_state import forge, saved

from trainer.cli.execute import execute
from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage import checkpoint

SMALL = ("dataset.subset=60", "batch_size=20", "model.hidden=[8]", "checkpoint.keep=9")


def stopped(folder: Path) -> None:
    """Make a run look as if a signal had ended it."""
    status = read_json(folder / "status.json")
    (folder / "status.json").write_text(json.dumps(status | {"state": "preempted"}))


def checkpoints(folder: Path) -> list[int]:
    return checkpoint.steps(folder / "checkpoints")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    assert train(tmp_path / "run", *SMALL, "epochs=1") == 0
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run but its log, which has one more line for each refusal."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "train.log")
    return {str(path): path.read_bytes() for path in files if path.name != ".lock"}


REFUSED = {
    "a shorter run": ("epochs=1",),
    "fewer steps": ("steps=1",),
    "other settings": ("optimizer.lr=0.5",),
}


@pytest.mark.parametrize("state", ["finished", "preempted"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_leaves_the_run_as_it_was(state, kind, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(run, *SMALL, "epochs=2") == 0
    if state == "preempted":
        stopped(run)
    before = contents(run)
    assert in_process(run, *SMALL, "epochs=2", *REFUSED[kind], "resume=auto") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert contents(run) == before


def test_a_checkpoint_that_does_not_fit_leaves_the_run_as_it_was(tmp_path, capsys):
    run = tmp_path / "run"
    settings = (*SMALL, "epochs=2")
    assert train(run, *settings) == 0
    stopped(run)
    first = run / "checkpoints" / "step-3"
    state = torch.load(first / "state.pt", weights_only=True)
    state["progress"] |= {"stopped": "yes"}
    forge(first, "state.pt", saved(state))
    before = contents(run)
    assert in_process(run, *settings, f"resume={first}") == 5
    assert "progress" in capsys.readouterr().err
    assert contents(run) == before


def test_the_same_settings_are_finished_and_nothing_is_written(run, capsys):
    before = (run / "result.json").stat().st_mtime_ns
    assert train(run, *SMALL, "epochs=1", "resume=auto", "quiet=false", "log.every=7st") == 0
    assert f"{run} is finished" in capsys.readouterr().out
    assert (run / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimizer.lr=0.5", "optimizer.lr: 0.001 → 0.5"),
        ("loss=focal", "loss: CrossEntropy → Focal"),
        ("dataset.subset=50", "dataset.subset: 60 → 50"),
        ("seed=7", "seed: 0 → 7"),
        ("job=preview", "contains a run of job=train; job=preview needs a folder of its own"),
        ("job=find_lr", "contains a run of job=train; job=find_lr"),
    ],
)
@pytest.mark.parametrize("state", ["finished", "preempted"])
def test_other_settings_are_refused_and_the_folder_stays(run, capsys, change, said, state):
    if state == "preempted":
        stopped(run)
    names = ("status.json", "config.yaml", "result.json")
    before = {name: (run / name).read_bytes() for name in names}
    assert in_process(run, *SMALL, "epochs=1", change, "resume=auto") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    kept = names if state == "finished" or change.startswith("job") else names[2:]
    assert {name: (run / name).read_bytes() for name in kept} == {n: before[n] for n in kept}


def test_more_epochs_continue_a_finished_run(run):
    assert train(run, *SMALL, "epochs=3", "resume=auto") == 0
    result = read_json(run / "result.json")
    assert (result["epochs"], result["steps"]) == (3, 9)
    assert [e["epoch"] for e in events(run) if e["split"] == "val"] == [0, 1, 2]


def test_a_resumed_run_brings_its_own_settings(tmp_path):
    """Nothing but `resume` and what is to change is on the line: job, model, data are the run's."""
    settings = ["epochs=1", "optimizer.lr=0.01", "mining=ohem", "loss=focal", *SMALL]
    assert train(tmp_path / "run", *settings, "model=mlp") == 0
    line = [f"resume={tmp_path / 'run'}", "epochs=3", "device=cpu", "quiet=true"]
    assert execute(config_of(*line), tmp_path / "unused", line, [str(CONF)]) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (kept["epochs"], kept["optimizer"]["lr"], kept["model"]["hidden"]) == (3, 0.01, [8])
    assert kept["loss"]["_target_"] == "trainer.loss.focal.Focal"
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["epochs"], result["steps"]) == (3, 9)
    changed = [*line, "optimizer.lr=0.5"]
    with pytest.raises(ConfigError, match=r"optimizer\.lr: 0\.01 → 0\.5"):
        execute(config_of(*changed), tmp_path / "unused", changed, [str(CONF)])


def test_the_settings_of_a_resumed_run_name_known_code_only(run, tmp_path):
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["loss"] = {"_target_": "subprocess.Popen", "args": ["touch", str(tmp_path / "made")]}
    path.write_text(yaml.safe_dump(config))
    line = [f"resume={run}", "epochs=3", "device=cpu"]
    with pytest.raises(CheckpointError, match=r"subprocess\.Popen"):
        execute(config_of(*line), tmp_path / "unused", line, [str(CONF)])
    assert not (tmp_path / "made").exists()


def test_a_run_cannot_become_shorter(run, capsys):
    assert train(run, *SMALL, "epochs=3", "resume=auto") == 0
    assert in_process(run, *SMALL, "epochs=2", "resume=auto") == 2
    assert "epochs=2 is less than " in capsys.readouterr().err


def test_a_step_that_is_named_is_the_one_continued(tmp_path, capsys):
    """Later ones are set aside, not read and not removed; the end is that of the whole run."""
    folder, settings = tmp_path / "run", (*SMALL, "epochs=4")
    assert train(folder, *settings) == 0
    whole = checkpoint.load(folder / "checkpoints" / "step-12").model
    stopped(folder)
    step = folder / "checkpoints" / "step-6"
    assert train(folder, *settings, f"resume={step}", "quiet=false") == 0
    said = capsys.readouterr()
    assert f"resuming from {step}" in said.out
    assert "step-12.aside, step-9.aside" in said.out + said.err
    again = checkpoint.load(folder / "checkpoints" / "step-12").model
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert (folder / "checkpoints" / "step-9.aside" / "state.pt").is_file()
    assert [e["step"] for e in events(folder) if e["split"] == "val"] == [3, 6, 9, 12]


def test_a_step_that_is_missing_is_refused_with_those_there_are(run):
    step = run / "checkpoints" / "step-77"
    with pytest.raises(ConfigError, match=r"step-77: no such checkpoint; there are step-3$"):
        train(run, *SMALL, f"resume={step}")


def test_a_damaged_step_never_counts(tmp_path):
    """With keep=1 the save after it stays, and is what the next resume finds."""
    folder = tmp_path / "run"
    settings = (*SMALL[:3], "checkpoint.monitor=val/loss")
    assert train(folder, *settings, "epochs=3", "checkpoint.keep=3") == 0
    stopped(folder)
    (folder / "checkpoints" / "step-9" / "state.pt").write_bytes(b"x")
    assert train(folder, *settings, "steps=8", "checkpoint.keep=1", "resume=auto") == 0
    assert 8 in checkpoints(folder)
    assert 9 not in checkpoints(folder)
    assert checkpoint.latest(folder / "checkpoints", pytest.fail).path.name == "step-8"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of six images each."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / name / f"{i}.png")
    return tmp_path / "d"


def swapped(images: Path) -> None:
    one, other, spare = images / "a" / "0.png", images / "b" / "0.png", images / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


@pytest.mark.parametrize(
    ("change", "said", "loader"),
    [
        (swapped, "times, contents", "memory"),
        (swapped, "times, contents", "stream"),
        (
            lambda images: shutil.copy(images / "a" / "1.png", images / "a" / "0.png"),
            "contents",
            "memory",
        ),
        (lambda images: (images / "b").rename(images / "c"), "classes, files", "memory"),
    ],
    ids=["swapped", "swapped, streamed", "replaced", "renamed class"],
)
def test_other_data_is_refused_by_name_or_allowed(images, tmp_path, capsys, change, said, loader):
    settings = ("dataset=image_folder", f"dataset.root={images}", "dataset.val_fraction=0.3")
    settings += ("dataset.test_fraction=0.2", "batch_size=2", f"loader={loader}")
    settings += ("loader.workers=0",) if loader == "stream" else ()
    assert train(tmp_path / "run", *settings, "epochs=1") == 0
    change(images)
    capsys.readouterr()
    before = contents(tmp_path / "run")
    assert in_process(tmp_path / "run", *settings, "epochs=2", "resume=auto") == 2
    assert contents(tmp_path / "run") == before
    error = capsys.readouterr().err
    assert "resume: the data set has changed since the checkpoint: " in error
    assert said in error
    assert error.endswith("resume_allow=[dataset]\n")
    allowed = (*settings, "epochs=2", "resume=auto", "resume_allow=[dataset]")
    assert train(tmp_path / "run", *allowed) == 0


def test_a_copy_of_the_data_with_times_of_its_own_is_the_same_data(images, tmp_path):
    """As a job on a cluster unpacks it to a disk of its own, each time again."""
    settings = ("dataset=image_folder", "dataset.val_fraction=0.3", "batch_size=2")
    root = f"dataset.root={images}"
    assert train(tmp_path / "run", *settings, root, "epochs=1") == 0
    for path in images.rglob("*.png"):
        os.utime(path, (1, 1))
    assert train(tmp_path / "run", *settings, root, "epochs=2", "resume=auto") == 0


def test_a_checkpoint_without_a_fingerprint_is_resumed(run):
    (step,) = (run / "checkpoints").iterdir()
    state = torch.load(step / "state.pt", weights_only=True)
    del state["data"]
    forge(step, "state.pt", saved(state))
    assert train(run, *SMALL, "epochs=2", "resume=auto") == 0
