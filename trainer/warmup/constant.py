"""A low rate at first (He et al. 2016, https://arxiv.org/abs/1512.03385, sec. 4.2)."""

import math
from typing import Any

from trainer.core.duration import Clock, Every, positive
from trainer.core.ranges import within
from trainer.warmup.base import Warmup


class Constant(Warmup):
    """`lr` until the training error of the epoch so far is under `error`; or else for `steps`.

    The error is looked at after every `every`, a length, and at each epoch's end. With `steps` the
    warmup is that long whatever the error is.
    """

    def __init__(
        self,
        *,
        lr: float = 0.01,
        error: float = 0.8,
        steps: str | None = None,
        every: str = "50st",
    ) -> None:
        within("warmup.lr", lr, "(0, inf)")
        within("warmup.error", error, "(0, 1]")
        if steps is not None:
            positive(steps, "warmup.steps")
        positive(every, "warmup.every")
        self.rate = lr
        self.error = error
        self.steps = steps
        self.every = every
        self.ended: float | None = None  # the step at which the error was low enough

    def bind(self, clock: Clock) -> None:
        """The length in steps, if it is known, and when to look."""
        self.length = math.inf if self.steps is None else clock.steps(self.steps)
        self.due = Every(self.every, clock, "warmup.every")

    def check(self, clock: Clock) -> None:
        """A warmup of a known length must leave some of the run."""
        if self.steps is not None:
            clock.require(f"warmup.steps={self.steps}", self.length, inside=True)

    def lr(self, t: float, target: float) -> float:
        """`lr`."""
        return self.rate

    def watches(self, step: int) -> bool:
        """Whether the error is to be looked at after so many steps."""
        return math.isinf(self.length) and self.due.after_step(step)

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """End at step t if the training error is under `error`."""
        if math.isfinite(self.length):
            return
        if "train/accuracy" not in metrics:
            known = ", ".join(metrics)
            raise ValueError(
                f"warmup.error needs train/accuracy; there are {known}: set warmup.steps"
            )
        if 1 - metrics["train/accuracy"] < self.error:
            self.length = self.ended = t

    def state_dict(self) -> dict[str, Any]:
        """Where the error ended it."""
        return {"ended": self.ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.ended = state["ended"]
        if self.ended is not None:
            self.length = self.ended
