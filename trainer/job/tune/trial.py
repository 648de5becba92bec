"""The early stopping of a search's trial, which the search may end before its last epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.core.metric import better, direction
from trainer.early_stopping import EarlyStopping

# Validation n and the best value so far → whether to end the trial.
Judge = Callable[[int, float], bool]


class PruningStopper(EarlyStopping):
    """The run's own early stopping, and before it the search's judgement of the trial.

    Neither ends a run after its last epoch.
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
        """Judge the metrics of an epoch. Returns whether to stop."""
        if better(metrics[self.metric], self.best, direction(self.metric)):
            self.best = metrics[self.metric]
        stop = self.own.update(metrics)
        if self.best is not None and self.judge(self.seen, self.best):
            self.pruned = self.seen + 1 < self.epochs() and not stop
        self.seen += 1
        return stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        seen = {"best": self.best, "seen": self.seen, "pruned": self.pruned}
        return {"own": self.own.state_dict(), **seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        self.own.load_state_dict(state["own"])
        self.best, self.seen, self.pruned = state["best"], state["seen"], state["pruned"]
