"""Early stopping of a trial that also lets the search prune it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.core.metric import better, direction
from trainer.core.state import match_type, optional
from trainer.early_stopping import EarlyStopping

# Number of the validation and the best value so far → whether to prune the trial.
Judge = Callable[[int, float], bool]


class PruningStopper(EarlyStopping):
    """Wraps the run's early stopping `own` and stops as well when `judge` prunes the trial.

    A trial that has trained all its `epochs` does not count as pruned.
    """

    def __init__(
        self, own: EarlyStopping, metric: str, judge: Judge, epochs: Callable[[], int]
    ) -> None:
        self.own, self.metric, self.judge, self.epochs = own, metric, judge, epochs
        self.needs_val, self.best_by = own.needs_val, own.best_by
        self.best: float | None = None
        self.seen = 0  # validations
        self.pruned = False

    def update(self, metrics: dict[str, float]) -> bool:
        """Pass on an epoch's metrics, then ask the judge. Returns whether to stop."""
        if better(metrics[self.metric], self.best, direction(self.metric)):
            self.best = metrics[self.metric]
        stop = self.own.update(metrics)
        if self.best is not None and self.judge(self.seen, self.best):
            self.pruned = self.seen + 1 < self.epochs() and not stop
        self.seen += 1
        return stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapped early stopping and of the pruning."""
        pruning = {"best": self.best, "seen": self.seen, "pruned": self.pruned}
        return {"own": self.own.state_dict(), **pruning}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the wrapped early stopping and of the pruning."""
        self.own.load_state_dict(state["own"])
        self.best = optional(float, state["best"], "best")
        self.seen = match_type(int, state["seen"], "seen")
        self.pruned = match_type(bool, state["pruned"], "pruned")
