"""Early stopping after some epochs without an improvement."""

import math
from pathlib import Path
from typing import Any

import pytest
from support import events, read_json, train

from trainer.early_stopping.patience import Patience


def stops_at(values: list[float], **settings: Any) -> int | None:
    """The epoch, from 1, whose metric stops the run."""
    stopping = Patience(**settings)
    monitor = settings.get("monitor", "val/loss")
    for epoch, value in enumerate(values, 1):
        if stopping.update({monitor: value}):
            return epoch
    return None


def test_by_hand() -> None:
    """Best in epoch 2; 3, 4 and 5 do not improve on it."""
    assert stops_at([1.0, 0.5, 0.6, 0.5, 0.55, 0.1], patience=3) == 5


def test_an_improvement_resets_the_count() -> None:
    assert stops_at([1.0, 1.1, 0.9, 1.0, 0.8, 0.9, 0.7, 0.8], patience=2) is None
    assert stops_at([1.0, 1.1, 1.2, 0.1], patience=2) == 3


def test_values_are_compared_with_the_best_and_not_the_last() -> None:
    assert stops_at([0.5, 0.9, 0.8, 0.7, 0.6], patience=4) == 5


def test_higher_accuracies_are_better() -> None:
    assert stops_at([0.1, 0.2, 0.3, 0.3], monitor="val/accuracy", patience=1) == 4
    assert stops_at([0.1, 0.2], monitor="val/accuracy", mode="min", patience=1) == 2


def test_changes_below_min_delta_are_not_improvements() -> None:
    """0.4 is not by more than 0.25 below 0.5, 0.125 is; small steps do not add up to a new best."""
    assert stops_at([0.5, 0.4, 0.125, 0.1], min_delta=0.25, patience=2) is None
    assert stops_at([1.0, 0.9, 0.8], min_delta=0.25, patience=2) == 3
    assert stops_at([1.0, 0.9, 0.7, 0.6], min_delta=0.25, patience=2) is None


def test_nan_never_improves() -> None:
    assert stops_at([math.nan, math.nan], patience=2) == 2
    assert stops_at([math.nan, 0.5, math.nan, 0.4, math.nan], patience=2) is None


def test_a_restored_state_continues_identically() -> None:
    values = [0.5, 0.6, 0.4, 0.5, 0.6, 0.7]
    first = Patience(patience=3)
    whole = [first.update({"val/loss": value}) for value in values[:4]]
    second = Patience(patience=3)
    second.load_state_dict(first.state_dict())
    whole += [second.update({"val/loss": value}) for value in values[4:]]
    assert whole == [False] * 5 + [True]
    assert first.state_dict() == {"best": 0.4, "waited": 1}


def test_a_missing_metric_is_reported() -> None:
    with pytest.raises(ValueError, match=r"early_stopping\.monitor=val/f1 .*val/loss"):
        Patience(monitor="val/f1").update({"val/loss": 1.0})


@pytest.mark.parametrize(("setting", "value"), [("patience", 0), ("min_delta", -1.0)])
def test_bad_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"early_stopping.{setting}"):
        Patience(**{setting: value})  # pyright: ignore


def test_the_best_weights_are_selected_by_the_monitor() -> None:
    assert Patience(monitor="val/accuracy").best_by == ("val/accuracy", "max")
    assert Patience(monitor="val/accuracy", mode="min").best_by == ("val/accuracy", "min")
    assert Patience(restore_best=False).best_by is None


@pytest.mark.parametrize("restored", [True, False])
def test_a_run_tests_the_weights_selected_by_restore_best(tmp_path: Path, restored: bool) -> None:
    """With mode=min for accuracy the first epoch is the best, not that of the lowest loss."""
    overrides = ["early_stopping=patience", "early_stopping.monitor=val/accuracy"]
    overrides += ["early_stopping.mode=min", f"early_stopping.restore_best={restored}"]
    assert train(tmp_path / "run", *overrides, "epochs=4", "checkpoint.keep=1") == 0
    val = [event for event in events(tmp_path / "run") if event["split"] == "val"]
    losses, accuracies = ([event[name] for event in val] for name in ("loss", "accuracy"))
    best = accuracies.index(min(accuracies)) if restored else losses.index(min(losses))
    assert losses.index(min(losses)) != accuracies.index(min(accuracies))
    assert read_json(tmp_path / "run" / "result.json")["best_step"] == val[best]["step"]
