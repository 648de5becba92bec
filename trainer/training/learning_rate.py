"""The current learning rate: the warmup, then the schedule, applied to the optimizer's groups."""

import math
from typing import Any

from torch.optim import Optimizer

from trainer.core.duration import Clock, reached
from trainer.core.errors import ConfigError
from trainer.optimizer.shared.groups import base_lr
from trainer.schedule import Schedule
from trainer.warmup import Warmup


class LearningRate:
    """Follows the warmup for its W steps, then the schedule at t − W.

    `base` is the optimizer's own rate. Durations are checked against the run's once, here: raises
    ValueError. While the end of an adaptive warmup is unknown the schedule is bound to the whole
    run; when it ends, the schedule is rebound to the remaining steps.
    """

    def __init__(self, schedule: Schedule, warmup: Warmup, base: float, clock: Clock) -> None:
        self.schedule = schedule
        self.warmup = warmup
        self.base = base
        self.clock = clock
        warmup.bind(clock)
        warmup.check_clock(clock)
        schedule.check_clock(self.bind())

    def bind(self) -> Clock:
        """Bind the schedule to the steps after the warmup, or while W is unknown, to all."""
        duration = self.warmup.duration
        rest = self.clock if math.isinf(duration) else self.clock.after(duration)
        self.schedule.bind(rest)
        return rest

    def lr(self, t: float) -> float:
        """Return the rate at step t of a group whose initial rate is `base`."""
        if not reached(t, self.warmup.duration):
            return self.warmup.lr(t, self.schedule.lr(0.0, self.base))
        return self.schedule.lr(max(t - self.warmup.duration, 0.0), self.base)

    def apply(self, optimizer: Optimizer, t: float) -> float:
        """Set each group's rate at step t, keeping its ratio to the base rate; return the base.

        Raises ConfigError if the schedule sets momentum and the optimizer has none.
        """
        lr, own = self.lr(t), base_lr(optimizer)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.setdefault("lr_scale", group["lr"] / own)
        momentum = self.schedule.momentum(max(t - self.warmup.duration, 0.0))
        if momentum is not None:
            set_momentum(optimizer, momentum)
        return lr

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Pass the metrics of an epoch that ended at step t to the warmup and the schedule."""
        self.observe_training(metrics, t)
        self.schedule.observe(metrics, t - self.warmup.duration)

    def observe_training(self, metrics: dict[str, float], t: float) -> None:
        """Pass the training metrics at step t to the warmup; they may end it."""
        before = self.warmup.duration
        self.warmup.observe(metrics, t)
        if self.warmup.duration != before:
            self.bind()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule and the warmup."""
        return {"schedule": self.schedule.state_dict(), "warmup": self.warmup.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the warmup first, because its duration binds the schedule."""
        self.warmup.load_state_dict(state["warmup"])
        self.bind()
        self.schedule.load_state_dict(state["schedule"])


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set the momentum, or β₁, of each group. Raises ConfigError for an optimizer without it."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif group.get("momentum"):
            group["momentum"] = momentum
        else:
            name = type(optimizer).__name__
            raise ConfigError(
                f"schedule.cycle_momentum=true: {name} has no momentum to cycle; "
                "set it in optimizer, or schedule.cycle_momentum=false"
            )
