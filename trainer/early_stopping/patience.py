"""Stop when the monitored metric has stopped improving."""

from typing import Any, Literal

from trainer.core.metric import Mode, better, direction
from trainer.core.ranges import within
from trainer.core.state import match_type, optional
from trainer.early_stopping.base import EarlyStopping


class Patience(EarlyStopping):
    """Stops after `patience` epochs in a row without an improvement of more than `min_delta`.

    `mode` auto is `min` for losses and errors, `max` for everything else. With `restore_best` the
    tested weights are the best by `monitor`, otherwise by `checkpoint.monitor`.
    """

    def __init__(
        self,
        *,
        monitor: str = "val/loss",
        mode: Literal["auto", "min", "max"] = "auto",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        within("early_stopping.patience", patience, "[1, inf)")
        within("early_stopping.min_delta", min_delta, "[0, inf)")
        self.monitor = monitor
        self.mode: Mode = direction(monitor) if mode == "auto" else mode
        self.best_by = (monitor, self.mode) if restore_best else None
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def update(self, metrics: dict[str, float]) -> bool:
        """Return True once `patience` runs out. Raises ValueError if the metric is missing."""
        if self.monitor not in metrics:
            known = ", ".join(metrics)
            raise ValueError(f"early_stopping.monitor={self.monitor} is not a metric of: {known}")
        value = metrics[self.monitor]
        if better(value, self.best, self.mode, self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The best value and the number of epochs since it was reached."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value and the number of epochs since it was reached."""
        self.best = optional(float, state["best"], "best")
        self.waited = match_type(int, state["waited"], "waited")
