"""Decay when a metric stops improving."""

import math

import numpy as np
import pytest
import torch
from support import events, train
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainer.core.errors import ConfigError
from trainer.schedule.plateau import Plateau

VARIANTS = [
    {},
    {"patience": 0},
    {"patience": 2, "cooldown": 3},
    {"patience": 1, "threshold": 0.2},
    {"patience": 1, "threshold": 0.2, "threshold_mode": "abs"},
    {"patience": 1, "factor": 0.5, "min_lr": 0.03},
    {"patience": 0, "factor": 0.5, "eps": 0.01},
]


def told(schedule: Plateau, values: list[float], first: int = 1) -> list[float]:
    """The rate after each value, observed at the end of an epoch of five steps."""
    rates = []
    for epoch, value in enumerate(values, first):
        schedule.observe({schedule.monitor: value}, 5.0 * epoch)
        rates.append(schedule.lr(5.0 * epoch, 0.4))
    return rates


def test_by_hand():
    """With patience 1, two epochs in a row without an improvement reduce the rate."""
    schedule = Plateau(patience=1, factor=0.5)
    assert schedule.lr(0, 0.4) == 0.4
    got = told(schedule, [1.0, 0.9, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert got == [0.4, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.1]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_equals_torch_at_every_epoch(settings, mode):
    """A noisy falling metric that ends below 0 and contains a NaN."""
    rng = np.random.default_rng(0)
    values = list((2 - 0.04 * np.arange(60) + 0.3 * rng.normal(size=60)).round(2))
    values[7] = math.nan
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = ReduceLROnPlateau(optimizer, mode=mode, **settings)
    expected = []
    for value in values:
        reference.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert told(Plateau(mode=mode, **settings), values) == pytest.approx(expected, rel=1e-9)
    if settings.get("patience", 10) <= 2:
        assert len(set(expected)) > 1


def test_a_resumed_schedule_continues_identically():
    values = [1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.9, 0.9, 0.9, 0.9]
    settings = {"patience": 1, "cooldown": 2, "factor": 0.5}
    whole = told(Plateau(**settings), values)
    assert len(set(whole)) == 3
    for cut in range(len(values)):
        first, second = Plateau(**settings), Plateau(**settings)
        told(first, values[:cut])
        second.load_state_dict(first.state_dict())
        assert told(second, values[cut:], cut + 1) == whole[cut:], cut


def test_the_mode_is_inferred_from_the_name_of_the_metric():
    assert Plateau().mode == "min"
    assert Plateau(monitor="val/accuracy").mode == "max"
    assert Plateau(monitor="val/accuracy", mode="min").mode == "min"


def test_metrics_of_the_warmup_are_ignored():
    schedule = Plateau(patience=0)
    for t in (-math.inf, -5.0, 0.0):
        schedule.observe({"val/loss": 1.0}, t)
    assert schedule.state_dict() == Plateau().state_dict()


@pytest.mark.parametrize("t", [-5.0, 5.0])
def test_a_missing_metric_is_reported_after_the_first_epoch(t):
    schedule = Plateau(monitor="val/iou")
    with pytest.raises(ValueError, match=r"schedule\.monitor=val/iou .*train/loss, val/loss"):
        schedule.observe({"train/loss": 1.0, "val/loss": 1.0}, t)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("factor", 0.0),
        ("factor", 1.0),
        ("patience", -1),
        ("threshold", -0.1),
        ("cooldown", -1),
        ("min_lr", -0.1),
        ("eps", -1.0),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Plateau(**{setting: value})


def test_a_reduction_applies_from_the_next_epoch_of_a_run(tmp_path):
    """No epoch improves by the threshold, so after each but the first the rate is halved."""
    overrides = ["schedule=plateau", "schedule.patience=0", "schedule.threshold=100"]
    overrides += ["schedule.threshold_mode=abs", "schedule.factor=0.5", "optimizer.lr=1e-3"]
    assert train(tmp_path / "run", *overrides, "epochs=4", "log.every=1st") == 0
    lines = [line for line in events(tmp_path / "run") if line["split"] == "train"]
    by_epoch = [{line["lr"] for line in lines if line["epoch"] == epoch} for epoch in range(4)]
    assert by_epoch == [{1e-3}, {1e-3}, {5e-4}, {2.5e-4}]


def test_a_run_without_validation_is_refused(tmp_path, capsys):
    overrides = ["schedule=plateau", "dataset.val_fraction=0"]
    with pytest.raises(Exception, match=r"dataset\.val_fraction=0 leaves no validation split"):
        train(tmp_path / "run", *overrides)


def test_a_run_with_an_unknown_metric_is_refused(tmp_path):
    wrong = r"schedule\.monitor=val/iou .* Metrics: train/loss, "
    with pytest.raises(ConfigError, match=wrong):
        train(tmp_path / "run", "schedule=plateau", "schedule.monitor=val/iou")
    assert not (tmp_path / "run").exists()
