"""Decay by a factor at regular intervals."""

import pytest
import torch
from torch import nn

from trainer.core.duration import Clock
from trainer.schedule.step import Step

CLOCK = Clock(steps_per_epoch=4, total=24)


def bound(**settings: object) -> Step:
    schedule = Step(**settings)  # pyright: ignore
    schedule.bind(CLOCK)
    return schedule


def test_by_hand() -> None:
    schedule = bound(step_size="2ep", gamma=0.5)
    got = [schedule.lr(t, 0.8) for t in (0, 7, 7.99, 8, 15, 16, 24, 100)]
    assert got == pytest.approx([0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.8 / 2**12])


def test_equals_torch_at_every_step() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.3)
    schedule = bound(step_size="5st", gamma=0.3)
    for t in range(40):
        assert schedule.lr(t, 0.8) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("step_size", "soon"), ("step_size", "0ep"), ("gamma", 0.0), ("gamma", -1.0)],
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Step(**{setting: value})  # pyright: ignore
