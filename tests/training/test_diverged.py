"""What is not finite after the last step: exit code 4, no checkpoint of it, JSON without NaN."""

import json
from pathlib import Path

import pytest
import torch
from support import events, read_json, train
from torch import nn

from trainer.core.errors import DivergedError
from trainer.storage import checkpoint
from trainer.training.evaluate import Evaluation
from trainer.training.nonfinite import NonFiniteGuard

ONE = ("dataset.subset=100", "batch_size=all", "optimizer=sgd")  # a step is an epoch


def strict(folder: Path) -> None:
    """Every JSON file of a run is strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    for path in folder.rglob("*.json*"):
        text = path.read_text()
        for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
            json.loads(part, parse_constant=refuse)


@pytest.mark.parametrize("more", [(), ("nonfinite=skip",), ("ema=0.9",)], ids=str)
def test_outputs_that_overflow_after_the_last_step(tmp_path, capsys, more):
    """The weights are finite, what they give is not."""
    run = tmp_path / "run"
    assert train(run, *ONE, "epochs=1", "optimizer.lr=1e30", *more) == 4
    error = capsys.readouterr().err
    assert "on val after step 1, the last; lower optimizer.lr" in error
    assert error.count("\n") == 1
    assert read_json(run / "status.json")["exit_code"] == 4
    assert not (run / "result.json").exists()
    assert not checkpoint.steps(run / "checkpoints")
    strict(run)
    (val,) = [event for event in events(run) if event["split"] == "val"]
    assert val["loss"] is None


def test_weights_that_overflow_are_not_saved(tmp_path, monkeypatch, capsys):
    """The epoch before stays the latest checkpoint; resumed, the run goes on from there."""
    run, settings = tmp_path / "run", (*ONE, "epochs=3", "optimizer.lr=0.01")
    plain = NonFiniteGuard.update

    def update(guard: NonFiniteGuard, *arguments, **options) -> bool:
        taken = plain(guard, *arguments, **options)
        if arguments[-1] == 1:  # the second step
            with torch.no_grad():
                guard.optimizer.param_groups[0]["params"][0].fill_(torch.inf)
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(NonFiniteGuard, "update", update)
        assert train(run, *settings) == 4
    assert "the weights are not finite after step 2; lower" in capsys.readouterr().err
    assert checkpoint.steps(run / "checkpoints") == [1]
    assert train(run, *settings, "resume=auto") == 0
    assert read_json(run / "result.json")["epochs"] == 3
    strict(run)


def test_without_val_the_test_split_is_checked(tmp_path, capsys):
    settings = (*ONE, "epochs=1", "optimizer.lr=1e30", "dataset.val_fraction=0")
    assert train(tmp_path / "run", *settings) == 4
    assert "on test with the weights of step 1; lower optimizer.lr" in capsys.readouterr().err


def test_a_run_whose_weights_overflow_is_not_evaluated(tmp_path, capsys):
    run = tmp_path / "run"
    assert train(run, *ONE, "epochs=1") == 0
    (step,) = (run / "checkpoints").iterdir()
    saved = checkpoint.load(step)
    huge = {name: value * 1e30 for name, value in saved.model.items()}
    checkpoint.save(run / "checkpoints", 1, huge, saved.state, saved.config)
    capsys.readouterr()
    for job in ("evaluate", "predict"):
        assert train(tmp_path / job, f"job={job}", f"run={run}") == 4
        assert "on test with the weights of" in capsys.readouterr().err


def test_weights_are_checked_after_an_epoch():
    model = nn.Linear(2, 2)
    guard = NonFiniteGuard(torch.optim.SGD(model.parameters()), [torch.tensor(-torch.inf)])
    guard.check_weights(3)  # a buffer may be infinite: a mask of attention
    with torch.no_grad():
        model.bias[1] = torch.nan
    with pytest.raises(DivergedError, match="the weights are not finite after step 3; lower"):
        guard.check_weights(3)


def test_metrics_without_examples_are_not_a_divergence():
    """All pixels ignored: the loss is 0 / 0."""
    nothing = {"pixels": torch.zeros(2)}
    Evaluation(torch.arange(2), torch.empty(0), nothing, {"loss": torch.nan}).require_finite("val")
    some = {"pixels": torch.ones(2)}
    with pytest.raises(DivergedError, match="the loss is nan on val"):
        Evaluation(torch.arange(2), torch.empty(0), some, {"loss": torch.nan}).require_finite("val")
    outputs = torch.tensor([[torch.nan, 0.0]])
    with pytest.raises(DivergedError, match="the outputs are NaN on val"):
        Evaluation(torch.arange(1), outputs, {}, {"loss": 0.5}).require_finite("val")
