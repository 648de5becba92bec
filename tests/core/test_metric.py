"""Which of two values of a metric is better."""

import math

import pytest

from trainer.core.metric import Mode, better, direction


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val/loss", "min"),
        ("train/epoch_loss", "min"),
        ("error", "min"),
        ("val/ece", "min"),
        ("val/rmse", "min"),
        ("val/accuracy", "max"),
        ("loss/accuracy", "max"),
        ("val/f1", "max"),
    ],
)
def test_direction(monitor: str, mode: Mode) -> None:
    assert direction(monitor) == mode


@pytest.mark.parametrize(
    ("value", "best", "mode", "min_delta", "expected"),
    [
        (0.5, None, "min", 0.0, True),
        (0.4, 0.5, "min", 0.0, True),
        (0.5, 0.5, "min", 0.0, False),
        (0.6, 0.5, "min", 0.0, False),
        (0.6, 0.5, "max", 0.0, True),
        (0.4, 0.5, "max", 0.0, False),
        (0.25, 0.5, "min", 0.25, False),  # by exactly min_delta is not by more
        (0.125, 0.5, "min", 0.25, True),
        (0.75, 0.5, "max", 0.25, False),
        (0.875, 0.5, "max", 0.25, True),
        (math.nan, None, "min", 0.0, False),
        (math.nan, 0.5, "max", 0.0, False),
        (math.inf, 0.5, "min", 0.0, False),
    ],
)
def test_better(
    value: float, best: float | None, mode: Mode, min_delta: float, expected: bool
) -> None:
    assert better(value, best, mode, min_delta) is expected
