"""The learning rate in force: the warmup, then the schedule, on the optimizer's groups."""

from typing import Any

from torch.optim import Optimizer

from trainer.length import Clock
from trainer.schedule import Schedule
from trainer.warmup import Warmup


class Rate:
    """After a warmup of W steps the schedule reads t − W."""

    def __init__(self, schedule: Schedule, warmup: Warmup, base: float, clock: Clock) -> None:
        self.schedule = schedule
        self.warmup = warmup
        self.base = base
        warmup.bind(clock)
        schedule.bind(clock.after(warmup.length))

    def lr(self, t: float) -> float:
        """The rate at step t of a group whose own rate is the optimizer's."""
        if t < self.warmup.length:
            return self.warmup.lr(t, self.schedule.lr(0.0, self.base))
        return self.schedule.lr(t - self.warmup.length, self.base)

    def apply(self, optimizer: Optimizer, t: float) -> float:
        """Set each group's rate, keeping the ratios of the groups; returns the rate."""
        lr = self.lr(t)
        for group in optimizer.param_groups:
            group["lr"] = lr * (group.setdefault("initial_lr", group["lr"]) / self.base)
        return lr

    def observe(self, metrics: dict[str, float], t: float) -> None:
        """Hand the metrics of an epoch to both."""
        self.warmup.observe(metrics, t)
        self.schedule.observe(metrics)

    def state_dict(self) -> dict[str, Any]:
        """State of both."""
        return {"schedule": self.schedule.state_dict(), "warmup": self.warmup.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.schedule.load_state_dict(state["schedule"])
        self.warmup.load_state_dict(state["warmup"])
