"""The rates of a schedule, and of torch's, over 8 epochs of 5 steps and past the end."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from trainer.core.duration import Clock
from trainer.schedule import Schedule

CLOCK = Clock(steps_per_epoch=5, total=40)


@pytest.fixture
def follow() -> Callable[..., list[float]]:
    """Compute the rates of a schedule at the steps 0, 1, … of a run."""

    def rates(
        schedule: Schedule, steps: int = 60, base: float = 0.4, clock: Clock = CLOCK
    ) -> list[float]:
        schedule.prepare()
        schedule.bind(clock)
        schedule.check_clock(clock)
        return [schedule.lr(t, base) for t in range(steps)]

    return rates


@pytest.fixture
def follow_torch() -> Callable[..., list[float]]:
    """Compute the rates of torch's scheduler, stepped at regular intervals."""

    def rates(
        scheduler_type: type[LRScheduler],
        steps: int,
        every: int = 1,
        base: float = 0.4,
        **settings: object,
    ) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
        scheduler = scheduler_type(optimizer, **settings)  # pyright: ignore
        learning_rates = []
        for t in range(1, steps + 1):
            learning_rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if t % every == 0:
                scheduler.step()
        return learning_rates

    return rates
