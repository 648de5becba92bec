"""job=find_lr: its curve, the steps it takes, its files, and the state it restores."""

import csv
import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from support import SMALL, digest, make_run, read_json, train
from torch import nn

from trainer.core.errors import ConfigError, Interrupted
from trainer.job.find_lr import job
from trainer.job.find_lr.curve import Curve
from trainer.job.find_lr.job import FindLr, Ramp, batch_statistics
from trainer.training.evaluate import Evaluator
from trainer.training.step import Step

PICTURE = Curve.picture
JOB = ("job=find_lr", "job.steps=12")


def curve_of(losses: list[float], beta: float = 0.0, diverge: float = 4.0) -> Curve:
    curve = Curve(beta=beta, diverge=diverge)
    for i, loss in enumerate(losses):
        curve.add(10.0**i, loss)
    return curve


@pytest.fixture(autouse=True)
def no_picture(monkeypatch) -> None:
    """Drawing the plot takes longer than the steps."""
    blank = np.zeros((1, 1, 3), np.uint8)
    monkeypatch.setattr(Curve, "picture", lambda self, *, log_scale: blank)


def search(folder, *overrides: str):
    run = make_run(folder, *SMALL, *JOB, *overrides)
    return run, run.do()


def test_the_learning_rate_rises_by_equal_factors_or_equal_steps():
    assert [Ramp(1e-4, 1.0, 5, "exponential").lr(t, 0.1) for t in range(5)] == pytest.approx(
        [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    )
    assert [Ramp(1.0, 3.0, 5, "linear").lr(t, 0.1) for t in range(5)] == [1, 1.5, 2, 2.5, 3]


def test_the_moving_mean_is_bias_corrected():
    """β = 1/2 of 4, 2, 1: (4·½)/½ = 4, (4·¼ + 2·½)/¾ = 8/3, (4·⅛ + 2·¼ + 1·½)/⅞ = 12/7."""
    assert curve_of([4.0, 2.0, 1.0], beta=0.5).smoothed == pytest.approx([4, 8 / 3, 12 / 7])
    uncorrected = 0.5 * 4.0
    assert curve_of([4.0], beta=0.5).smoothed[0] != uncorrected


def test_divergence_is_relative_to_the_lowest_loss():
    assert not curve_of([1.0, 4.0]).diverged
    assert curve_of([1.0, 4.1]).diverged
    assert curve_of([2.0, 1.0, 4.1]).diverged  # of the lowest, not of the first
    assert not curve_of([-1.0, 1.9]).diverged  # four times a negative number is below it
    assert curve_of([-1.0, 2.1]).diverged


def test_lowest_and_steepest_points_by_hand():
    """Slopes by central differences: −0.5, −1.5, −2, −0.75; the lowest loss is at step 3."""
    curve = curve_of([5.0, 4.5, 2.0, 0.5, 3.5])
    assert curve.lowest() == 3
    assert curve.steepest() == 2
    later = curve_of([5.0, 4.0, 3.0, 20.0, 4.0])  # the steepest fall comes after the divergence
    assert later.lowest() == 2
    assert later.steepest() == 0
    assert np.gradient(later.smoothed).argmin() == 4
    for losses in ([], [1.0], [1.0, 2.0], [1.0, 0.995, 3.0]):
        assert curve_of(losses).lowest() is None
        assert curve_of(losses).steepest() is None


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_suggestion_trains_and_a_hundred_times_as_much_does_not(tmp_path, optimizer):
    choice = f"optimizer={optimizer}"
    assert train(tmp_path / "f", "job=find_lr", choice) == 0
    found = read_json(tmp_path / "f" / "result.json")
    assert found["override"] == f"optimizer.lr={found['suggestion']:g}"
    assert found["suggestion"] == pytest.approx(found["lowest"] / 10, rel=0.05)
    assert found["ended"] == "the loss diverged"
    accuracies = {}
    for factor in (1, 100):
        folder = tmp_path / str(factor)
        overrides = [choice, f"optimizer.lr={factor * found['suggestion']:g}", "epochs=4"]
        assert train(folder, *overrides) == 0
        accuracies[factor] = read_json(folder / "result.json")["val"]["accuracy"]
    assert accuracies[1] >= 0.9
    assert accuracies[100] < 0.5


def test_files_and_console_agree_with_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Curve, "picture", PICTURE)
    assert train(tmp_path / "f", *JOB, "quiet=false") == 0
    folder = tmp_path / "f"
    output = capsys.readouterr().out
    result = read_json(folder / "result.json")
    assert f"suggestion    {result['override']}" in output
    assert "steepest      lr" in output
    with (folder / "find_lr.csv").open() as file:
        rows = list(csv.DictReader(file))
    for column in ("lr", "loss", "smoothed"):
        assert [float(row[column]) for row in rows] == result["curve"][column]
    lrs = result["curve"]["lr"]
    assert lrs == pytest.approx([1e-7 * 1e8 ** (i / 11) for i in range(len(lrs))])
    assert (folder / "find_lr.png").read_bytes()[:4] == b"\x89PNG"
    assert not (folder / "checkpoints").exists()
    assert (folder / "metrics.jsonl").read_text() == ""


STATES = [
    "mining=hard_example mining.warmup_epochs=0 optimizer.amsgrad=true",
    "mining=misclassified optimizer=sgd",
    "mining=importance loss=ghm",
    "mining=infobatch optimizer=lion",
    "mining=selective_backprop mixer=mixup augmentation=light",
    "mining=self_paced precision=bf16",
    "mining=reweight ema=0.9 sam=0.05",
    "model=resnet_cifar dataset.subset=100",
    "finetune.freeze=backbone",
    "nonfinite=skip job.end=1e38 optimizer=sgd",
]


@pytest.mark.parametrize("choice", STATES)
def test_all_state_is_restored(tmp_path, fits, choice):
    run, result = search(tmp_path, "epochs=3", *choice.split())
    fit, before = fits[0]
    assert digest(fit) == before
    assert result["curve"]["loss"][0] != result["curve"]["loss"][-1]
    assert all(p.requires_grad and p.grad is None for p in run.model.parameters())
    assert all(module.training for module in run.model.modules())
    average = fit.step.average
    for name, value in average.weights().items():
        assert torch.equal(value, run.model.state_dict()[name])


def test_without_the_rollback_state_changes(tmp_path, fits, monkeypatch):
    monkeypatch.setattr(job, "rolled_back", nullcontext)
    search(tmp_path)
    assert digest(fits[0][0]) != fits[0][1]


def test_the_steps_are_those_of_the_run(tmp_path, monkeypatch):
    """Same order and step ids; rates of parameter groups keep their ratio, no schedule applies."""
    measured, call = [], Step.__call__

    def step(self, batch, step_id, first_row, part=None):
        rates = [group["lr"] for group in self.guard.optimizer.param_groups]
        measured.append((batch.index[:, 0].clone(), step_id, first_row, rates))
        call(self, batch, step_id, first_row)

    monkeypatch.setattr(Step, "__call__", step)
    overrides = ["finetune.head_lr_factor=10", "schedule=cosine_decay", "job.end=1e-3"]
    run, result = search(tmp_path, *overrides, "warmup=gradual", "warmup.steps=3st")
    plans = [run.planner.plan(epoch) for epoch in (0, 1)]
    assert plans[0].steps < 12
    expected = torch.cat([plan.ids[:, 0] for plan in plans])
    ids = torch.cat([ids for ids, *_ in measured])
    assert torch.equal(ids, expected[: len(ids)])
    assert [step_id.step for _, step_id, *_ in measured] == list(range(12))
    assert [step_id.epoch for _, step_id, *_ in measured].count(0) == plans[0].steps
    assert [first for *_, first, _ in measured][: plans[0].steps] == plans[0].bounds[:-1].tolist()
    for (*_, rates), lr in zip(measured, result["curve"]["lr"], strict=True):
        assert sorted(rates) == pytest.approx([lr, 10 * lr])


def watched_search(folder, monkeypatch, *overrides: str):
    """Run a search; returns also the labels of the measured losses and the splits opened."""
    measured, splits, records = [], [], Evaluator.records

    def spy(self, outputs, labels):
        measured.append(labels)
        return records(self, outputs, labels)

    monkeypatch.setattr(Evaluator, "records", spy)
    run = make_run(folder, *SMALL, *JOB, *overrides)
    opened = run.loader.open
    monkeypatch.setattr(
        run.loader, "open", lambda split, device: (splits.append(split), opened(split, device))[1]
    )
    return run, run.do(), measured, splits


def test_the_loss_is_measured_on_val_and_never_on_test(tmp_path, monkeypatch):
    run, result, measured, splits = watched_search(tmp_path, monkeypatch, "eval_batch_size=60")
    assert result["split"] == "val"
    val = run.data.val
    expected = val.labels[val.ids[torch.arange(60) * len(val) // 60]]
    assert len(expected.unique()) == 10
    assert len(measured) == len(result["curve"]["loss"])
    assert all(torch.equal(labels, expected) for labels in measured)
    assert {id(split) for split in splits} == {id(run.data.train), id(val)}


def test_without_val_the_loss_is_measured_on_the_training_split(tmp_path, monkeypatch):
    run, result, measured, splits = watched_search(tmp_path, monkeypatch, "dataset.val_fraction=0")
    assert result["split"] == "train"
    train = run.data.train
    expected = train.labels[train.ids[torch.arange(256) * len(train) // 256]]
    assert all(torch.equal(labels, expected) for labels in measured)
    assert all(split is not run.data.test for split in splits)


def test_batch_norm_uses_batch_statistics_and_updates_none():
    torch.manual_seed(0)
    frozen = nn.BatchNorm1d(3).eval()
    model = nn.Sequential(nn.Linear(4, 3), frozen, nn.BatchNorm1d(3), nn.Dropout(0.5))
    x = torch.randn(8, 4) * 5
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hidden = model[1](model[0](x))
    expected = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
    with batch_statistics(model):
        assert torch.allclose(model(x), expected, atol=1e-5)
    assert not torch.allclose(model.eval()(x), expected, atol=0.1)  # the running ones
    model.train()
    frozen.eval()
    with batch_statistics(model):
        model(x * float("nan"))
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_a_non_finite_loss_ends_the_range_test(tmp_path, policy):
    overrides = ["optimizer=sgd", "job.end=1e38", "job.diverge=1e38", f"nonfinite={policy}"]
    assert train(tmp_path / "f", *JOB, *overrides) == 0
    result = read_json(tmp_path / "f" / "result.json")
    assert "not finite" in result["ended"]
    assert 0 < len(result["curve"]["lr"]) < 12
    assert np.isfinite(result["curve"]["loss"]).all()


def test_a_curve_that_never_falls_suggests_nothing(tmp_path, capsys):
    assert train(tmp_path / "f", *JOB, "job.end=1e-6") == 0
    result = read_json(tmp_path / "f" / "result.json")
    assert result["suggestion"] is result["override"] is result["steepest"] is None
    assert "no suggestion" in capsys.readouterr().err


def test_a_curve_still_falling_at_the_end_gives_a_warning(tmp_path, capsys):
    assert train(tmp_path / "f", *JOB, "job.end=1e-2") == 0
    assert "raise job.end" in capsys.readouterr().err


def test_a_signal_stops_the_job_and_all_state_is_restored(tmp_path, fits):
    class Third:
        polls = 0

        def agreed_signal(self) -> int:
            return signal.SIGTERM

        def raise_if_stopped(self) -> None:
            self.polls += 1
            if self.polls == 3:
                raise Interrupted(signal.SIGTERM)

    run = make_run(tmp_path, *SMALL, *JOB, "mining=hard_example", "mining.warmup_epochs=0")
    run.signals = Third()
    with pytest.raises(Interrupted):
        run.do()
    fit, before = fits[0]
    assert digest(fit) == before
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("job.start=0", r"job.start must be in \(0, inf\), got 0"),
        ("job.end=1e-8", r"job.end must be above job.start=1e-07, got 1e-08"),
        ("job.steps=1", r"job.steps must be in \[2, inf\), got 1"),
        ("job.mode=log", r"job.mode must be exponential or linear, got log"),
        ("job.beta=1", r"job.beta must be in \[0, 1\), got 1"),
        ("job.diverge=1", r"job.diverge must be in \(1, inf\), got 1"),
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path, setting, line):
    with pytest.raises(ConfigError, match=line):
        train(tmp_path / "f", *JOB, setting)
    assert not (tmp_path / "f").exists()


def test_defaults_equal_those_of_the_yaml(tmp_path):
    job = make_run(tmp_path, "job=find_lr").job
    assert isinstance(job, FindLr)
    assert vars(job.ramp) == vars(FindLr().ramp)
    assert vars(job.curve) == vars(FindLr().curve)
