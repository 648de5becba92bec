"""Cosine decay, constant after its end."""

import math

import pytest
import torch
from torch import nn

from trainer.core.duration import Clock
from trainer.schedule.cosine_decay import CosineDecay

CLOCK = Clock(steps_per_epoch=5, total=20)


def bound(**settings: object) -> CosineDecay:
    schedule = CosineDecay(**settings)  # pyright: ignore
    schedule.bind(CLOCK)
    return schedule


def test_by_hand() -> None:
    """lr 0.4, α ¼ over 20 steps: 0.4, then 0.4·(¾·½(1+cos π/4)+¼), half-way 0.25, end 0.1."""
    schedule = bound(alpha=0.25)
    got = [schedule.lr(t, 0.4) for t in (0, 5, 10, 20)]
    assert got == pytest.approx([0.4, 0.1 + 0.15 * (1 + math.sqrt(0.5)), 0.25, 0.1])


def test_equals_torch_until_its_end_and_is_constant_after() -> None:
    """torch's rate rises again after T_max; this one is constant."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.04)
    schedule = bound(alpha=0.1)
    for t in range(21):
        assert schedule.lr(t, 0.4) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()
    assert optimizer.param_groups[0]["lr"] > 0.041
    assert [schedule.lr(t, 0.4) for t in (20, 21, 30, 40, 1000)] == pytest.approx([0.04] * 5)


def test_alpha_is_a_fraction_of_lr() -> None:
    assert bound(alpha=0.5).lr(20, 8.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("length", "half"), [("2ep", 5), ("10st", 5), ("0.5run", 5), ("1run", 10)])
def test_durations_in_every_unit(length: str, half: float) -> None:
    schedule = bound(decay_steps=length)
    assert schedule.lr(half, 1.0) == pytest.approx(0.5)
    assert schedule.lr(2 * half, 1.0) == pytest.approx(0, abs=1e-12)


def test_a_decay_of_duration_0_ends_after_the_first_step() -> None:
    schedule = bound(decay_steps="0st", alpha=0.1)
    assert [schedule.lr(t, 1.0) for t in (0, 0.5, 1)] == pytest.approx([1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("decay_steps", "soon"), ("alpha", -0.1), ("alpha", 1.5), ("alpha", float("nan"))],
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        CosineDecay(**{setting: value})  # pyright: ignore
