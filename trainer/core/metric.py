"""Metrics by name: which are better low or high, and which there are."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean

Mode = Literal["min", "max"]
COMPARED = ("mean_iou", "map", "mAP", "accuracy", "rmse", "loss")  # runs, by the first they have
LOW_IS_BETTER = ("loss", "error", "nll", "ece", "brier", "mse", "mae")


def direction(monitor: str) -> Mode:
    """Return `min` for losses and errors, such as `val/loss`, and `max` for all else."""
    return "min" if monitor.endswith(LOW_IS_BETTER) else "max"


def better(value: float, best: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Return whether `value` improves on `best` by more than `min_delta`; NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best - min_delta if mode == "min" else value > best + min_delta


def check_known(asked: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigError for a name in the setting `metrics` that is not known."""
    for name in asked:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(
                f"metrics: {name} is not a metric of this run.{hint} Metrics: {', '.join(known)}"
            )
