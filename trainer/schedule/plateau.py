"""Decay when a metric stops improving; torch's ReduceLROnPlateau."""

from typing import Any, Literal

from trainer.core.metric import direction
from trainer.core.ranges import within
from trainer.core.state import match_type, optional
from trainer.schedule.base import Schedule

Mode = Literal["auto", "min", "max"]
STATE = ("best", "bad", "cooling", "reductions")  # attributes stored in the checkpoint


class Plateau(Schedule):
    """Multiplies lr by `factor` after more than `patience` epochs without an improvement.

    `observe` reads `monitor` at the end of each epoch after the warmup. `mode` auto is `min` for
    losses and errors, `max` for everything else.
    """

    needs_val = True

    def __init__(
        self,
        *,
        monitor: str = "val/loss",
        mode: Mode = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        within("schedule.factor", factor, "(0, 1)")
        within("schedule.patience", patience, "[0, inf)")
        within("schedule.threshold", threshold, "[0, inf)")
        within("schedule.cooldown", cooldown, "[0, inf)")
        within("schedule.min_lr", min_lr, "[0, inf)")
        within("schedule.eps", eps, "[0, inf)")
        self.monitor = monitor
        self.mode = direction(monitor) if mode == "auto" else mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps
        self.best: float | None = None
        self.bad = 0  # epochs in a row without an improvement
        self.cooling = 0  # epochs left of the cooldown, in which none counts as bad
        self.reductions = 0

    def lr(self, t: float, base: float) -> float:
        """The current rate, a function of the metrics observed so far and not of t."""
        lr = base
        for _ in range(self.reductions):
            lower = max(lr * self.factor, self.min_lr)
            if lr - lower <= self.eps:
                break
            lr = lower
        return lr

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Count epochs without improvement. Raises ValueError if the metric is missing."""
        if self.monitor not in metrics:
            known = ", ".join(metrics)
            raise ValueError(f"schedule.monitor={self.monitor} is not a metric of: {known}")
        if t <= 0:
            return  # still in the warmup
        if self.improves(metrics[self.monitor]):
            self.best, self.bad = metrics[self.monitor], 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > self.patience:
            self.reductions += 1
            self.cooling, self.bad = self.cooldown, 0

    def improves(self, value: float) -> bool:
        """True if a value beats the best by more than the threshold; never for NaN."""
        if self.best is None:
            return value == value
        sign = -1 if self.mode == "min" else 1
        margin = self.threshold * (self.best if self.threshold_mode == "rel" else 1.0)
        return sign * value > sign * (self.best + sign * margin)

    def state_dict(self) -> dict[str, Any]:
        """The best value and the counters."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value and the counters."""
        self.best = optional(float, state["best"], "best")
        for name in STATE[1:]:
            setattr(self, name, match_type(int, state[name], name))
