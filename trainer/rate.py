"""The learning rate in force: the warmup, then the schedule, on the optimizer's groups."""

from typing import Any

from torch.optim import Optimizer

from trainer.length import Clock
from trainer.schedule import Schedule
from trainer.warmup import Warmup


class Rate:
    """After a warmup of W steps the schedule reads t − W. `base` is the first group's own rate."""

    def __init__(self, schedule: Schedule, warmup: Warmup, base: float, clock: Clock) -> None:
        self.schedule = schedule
        self.warmup = warmup
        self.base = base
        warmup.bind(clock)
        schedule.bind(clock.after(warmup.length))

    def lr(self, t: float) -> float:
        """The first group's rate at step t."""
        if t < self.warmup.length:
            return self.warmup.lr(t, self.schedule.lr(0.0, self.base))
        return self.schedule.lr(t - self.warmup.length, self.base)

    def apply(self, optimizer: Optimizer, t: float) -> float:
        """Set each group's rate, keeping their ratios to the first group; returns the first's."""
        lr = self.lr(t)
        groups = optimizer.param_groups
        initial = [group.setdefault("initial_lr", group["lr"]) for group in groups]
        for group, own in zip(groups, initial, strict=True):
            group["lr"] = lr * (own / initial[0])
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
