"""Warmup at a low constant rate (He et al. 2016, https://arxiv.org/abs/1512.03385, sec. 4.2)."""

import math
from typing import Any

from trainer.core.duration import Clock, Duration, Every, from_clock, in_units, positive
from trainer.core.ranges import within
from trainer.core.state import optional
from trainer.warmup.base import Warmup


class Constant(Warmup):
    """`lr` until the training error of the epoch so far drops below `error`, or for `steps`.

    The error is checked at intervals of `every`, a duration, and at the end of each epoch. With
    `steps` the warmup has that duration and the error is ignored.
    """

    duration: float = from_clock()
    due: Every = from_clock()  # when to check the error

    def __init__(
        self,
        *,
        lr: float = 0.01,
        error: float = 0.8,
        steps: Duration | None = None,
        every: Duration = "50st",
    ) -> None:
        within("warmup.lr", lr, "(0, inf)")
        within("warmup.error", error, "(0, 1]")
        self.steps = None if steps is None else in_units(steps)
        self.every = in_units(every)
        if self.steps is not None:
            positive(self.steps, "warmup.steps")
        positive(self.every, "warmup.every")
        self.constant_lr = lr
        self.error = error
        self.ended: float | None = None  # the step at which the error ended the warmup

    def bind(self, clock: Clock) -> None:
        """Convert `steps`, if set, and `every` to steps."""
        self.duration = math.inf if self.steps is None else clock.steps(self.steps)
        self.due = Every(self.every, clock, "warmup.every")

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if `steps` is as long as the run."""
        if self.steps is not None:
            clock.require(f"warmup.steps={self.steps}", self.duration, inside=True)

    def lr(self, t: float, target: float) -> float:
        """The setting `lr`, at every step t."""
        return self.constant_lr

    def observes_after(self, step: int) -> bool:
        """True if the error is due to be checked after a step."""
        return math.isinf(self.duration) and self.due.after_step(step)

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """End at step t if the training error is below `error`.

        Raises ValueError if the metrics lack the training accuracy.
        """
        if math.isfinite(self.duration):
            return
        if "train/accuracy" not in metrics:
            known = ", ".join(metrics)
            raise ValueError(
                f"warmup.error needs train/accuracy, but the metrics are {known}; set warmup.steps"
            )
        if 1 - metrics["train/accuracy"] < self.error:
            self.duration = self.ended = t

    def state_dict(self) -> dict[str, Any]:
        """The step at which the error ended the warmup, if it has."""
        return {"ended": self.ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the step at which the warmup ended."""
        self.ended = optional(float, state["ended"], "ended")
        if self.ended is not None:
            self.duration = self.ended
