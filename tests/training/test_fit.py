"""The training loop is reproducible bit for bit: by seed, after any stop, with any loader."""

import re

import pytest
import torch
from support import SMALL, digest, events, fitted, read_json, train

from trainer.core.errors import Interrupted
from trainer.storage import checkpoint
from trainer.training.meter import Meter

VARYING = {
    "images_per_second",
    "train_seconds",
    "startup_seconds",
    "compile_seconds",
    "grad_norm",
    "split",
}
VARIANTS = {
    "plain": (),
    "mixup-ohem": ("mixer=mixup", "mining=ohem", "accumulate=3"),
    "hard_example": ("mining=hard_example", "mining.warmup_epochs=0", "augmentation=light"),
    "resample": ("mining=hard_example", "mining.mode=resample", "schedule=cosine_decay"),
    "multilabel": (
        *("dataset=digits_canvas", "dataset.target=labels", "dataset.digits=2", "task=multilabel"),
        *("dataset.examples=250", "loss=asymmetric", "mixer=mixup", "mining=hard_example"),
        *("mining.warmup_epochs=0", "batch_size=16"),
    ),
    "two_pass": ("mining=ohem_two_pass", "optimizer=sgd", "warmup=gradual", "model.dropout=0.5"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_bits(tmp_path, variant):
    first = fitted(tmp_path / "a", *VARIANTS[variant])
    second = fitted(tmp_path / "b", *VARIANTS[variant])
    assert digest(first) == digest(second)
    other = fitted(tmp_path / "c", *VARIANTS[variant], "seed=1")
    assert digest(first) != digest(other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_anywhere_and_resumed_is_identical(tmp_path, variant):
    """A signal at each poll, in steps, scoring passes and validation; the logs are equal too."""
    settings = ("batch_size=128", *VARIANTS[variant])
    whole = fitted(tmp_path / "whole", *settings)
    expected, lines = digest(whole), events(tmp_path / "whole")
    stopped, after = True, 0
    while stopped:
        folder = tmp_path / f"stop-{after}"
        try:
            fitted(folder, *settings, stop_after=after)
            stopped = False
        except Interrupted:
            pass
        resumed = fitted(folder, *settings)
        assert digest(resumed) == expected, f"stopped at poll {after}"
        for line, again in zip(lines, events(folder), strict=True):
            assert again.keys() == line.keys()
            for key in line.keys() - VARYING:
                assert again[key] == pytest.approx(line[key], rel=1e-6), key
        after += 1 if variant == "plain" else 3
    assert after > 10, after


def test_resumed_twice_is_identical(tmp_path):
    expected = digest(fitted(tmp_path / "whole", "mixer=mixup"))
    for after in (3, 4, None):
        try:
            resumed = fitted(tmp_path / "parts", "mixer=mixup", stop_after=after)
        except Interrupted:
            continue
    assert digest(resumed) == expected


def test_workers_and_loaders_give_the_same_bits(tmp_path):
    overrides = ("augmentation=light", "mixer=mixup")
    expected = digest(fitted(tmp_path / "memory", *overrides, "loader=memory"))
    for workers in (0, 1, 2):
        streamed = (*overrides, "loader=stream", f"loader.workers={workers}")
        assert digest(fitted(tmp_path / f"stream-{workers}", *streamed)) == expected


def test_events_are_logged_once_in_order(tmp_path):
    fitted(tmp_path, "log.every=2st")
    lines = events(tmp_path)
    train_steps = [line["step"] for line in lines if line["split"] == "train"]
    assert train_steps == sorted(set(train_steps))
    assert [line["step"] for line in lines if line["split"] == "val"] == [7, 14]
    assert train_steps == [2, 4, 6, 7, 8, 10, 12, 14]
    assert {"loss", "accuracy", "lr", "epoch", "grad_norm"} <= set(lines[0])


def test_a_whole_run_through_the_folder(tmp_path):
    """Check files, result and status; a second start is rejected, resuming finds it finished."""
    folder = tmp_path / "run"
    assert train(folder, "early_stopping=patience") == 0
    names = {path.name for path in folder.iterdir()} - {".lock"}
    assert names == {
        "config.yaml",
        "data.json",
        "status.json",
        "metrics.jsonl",
        "result.json",
        "examples",
        "checkpoints",
        "predictions",
        "tensorboard",
        "train.log",
    }
    status = read_json(folder / "status.json")
    assert (status["state"], status["exit_code"], status["error"]) == ("finished", 0, None)
    result = read_json(folder / "result.json")
    assert result["test"]["accuracy"] > 0.5
    assert result["examples_seen"] == result["backward_passes"] == 2 * 1294
    assert {"seconds", "images_per_second", "peak_memory_bytes", "config_sha256"} <= set(result)
    assert result["val"]["loss"] == pytest.approx(
        min(line["loss"] for line in events(folder) if line["split"] == "val")
    )
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(Exception, match="already contains a run"):
        train(folder)
    assert train(folder, "resume=auto", "early_stopping=patience") == 0
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_early_stopping_stops_and_best_is_tested(tmp_path):
    overrides = ["early_stopping=patience", "early_stopping.patience=1", "optimizer.lr=0.5"]
    assert train(tmp_path / "run", *overrides, "epochs=30") == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["epochs"] < 30
    assert result["best_step"] < result["steps"]


def test_steps_ends_the_run_anywhere(tmp_path):
    assert train(tmp_path / "run", "steps=50", "batch_size=64", "log.every=1st") == 0
    steps = [line["step"] for line in events(tmp_path / "run") if line["split"] == "train"]
    assert steps == list(range(1, 51))
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["steps"], result["examples_seen"]) == (50, 2 * 1294 + (50 - 42) * 64)


def test_full_batch_and_no_validation(tmp_path):
    overrides = ["batch_size=all", "dataset.val_fraction=0", "epochs=3"]
    assert train(tmp_path / "run", *overrides) == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["steps"] == 3
    assert "val" not in result
    assert result["best_step"] == 3


@pytest.mark.parametrize(
    ("nonfinite", "code"), [("raise", 4), ("skip", 4)], ids=["raise", "skip until max_skips"]
)
def test_divergence_ends_with_its_exit_code(tmp_path, nonfinite, code, capsys):
    overrides = ["optimizer=sgd", "optimizer.lr=1e30", f"nonfinite={nonfinite}"]
    assert train(tmp_path / "run", *overrides) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "step" in error
    assert "epoch 0" in error
    assert read_json(tmp_path / "run" / "status.json")["state"] == "failed"
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert all(torch.isfinite(value).all() for value in saved.model.values())


def test_a_config_that_changed_is_refused(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        fitted(folder, stop_after=4)
    (folder / "status.json").write_text("{}")
    changed = ["resume=auto", "optimizer.lr=0.01", *SMALL]
    assert train(folder, *changed) == 2
    assert train(folder, *changed, "resume_allow=[optimizer.lr,optimizer]") == 0


def test_an_epoch_that_trains_on_no_example_is_no_improvement(tmp_path, monkeypatch, capsys):
    """Its training metrics are missing; monitors count it as a bad epoch, the line has val's."""
    take, epochs = Meter.take_epoch, iter(range(9))
    monkeypatch.setattr(Meter, "take_epoch", lambda own: take(own) if next(epochs) != 1 else {})
    monitors = ("early_stopping", "schedule", "checkpoint")
    settings = ["early_stopping=patience", "early_stopping.patience=1", "schedule=plateau"]
    settings += [f"{one}.monitor=train/loss" for one in monitors]
    assert train(tmp_path, "epochs=4", "quiet=false", *settings) == 0
    assert read_json(tmp_path / "result.json")["epochs"] == 2
    lines = [
        line for line in capsys.readouterr().out.splitlines() if re.match(r"epoch |  2/4", line)
    ]
    head, second = (re.split(r"  +", line.strip()) for line in lines)
    assert head[2:6] == ["train loss", "train accuracy", "val loss", "val accuracy"]
    assert second[2:4] == ["–", "–"]
    assert all(float(value) > 0 for value in second[4:6])


@pytest.mark.parametrize(
    "overrides",
    [
        ("epochs=100", "steps=2"),
        ("dataset=digits_canvas", "dataset.target=labels", "task=multilabel", "loss=bce"),
        ("dataset=digits_canvas", "task=segmentation", "model=unet", "model.width=4"),
    ],
)
def test_the_lines_of_epochs_are_columns_that_fit_80(tmp_path, capsys, overrides):
    small = ("dataset.subset=40", "epochs=2", "quiet=false", "model=mlp")
    assert train(tmp_path, *small, *overrides) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if "train loss" in line)
    head, row = lines[first : first + 2]
    assert len(head) == len(row) <= 80
    assert len(re.split("  +", head.strip())) == len(re.split("  +", row.strip()))
