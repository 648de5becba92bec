"""Linear warmup."""

import pytest
import torch
from torch import nn

from trainer.core.duration import Clock
from trainer.warmup.gradual import Gradual

CLOCK = Clock(steps_per_epoch=8, total=80)


def bound(**settings: object) -> Gradual:
    warmup = Gradual(**settings)  # pyright: ignore
    warmup.bind(CLOCK)
    return warmup


def test_by_hand() -> None:
    """From a quarter of 0.8 to 0.8 in 8 steps, 0.075 per step."""
    warmup = bound(steps="1ep", start_factor=0.25)
    assert warmup.duration == 8
    got = [warmup.lr(t, 0.8) for t in (0, 1, 4, 7)]
    assert got == pytest.approx([0.2, 0.275, 0.5, 0.725])


def test_equals_torch_at_every_step() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    reference = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=8)
    warmup = bound(steps="8st", start_factor=0.1)
    for t in range(8):
        assert warmup.lr(t, 0.8) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(("steps", "length"), [("2ep", 16), ("3st", 3), ("0.1run", 8), ("0ep", 0)])
def test_durations_in_every_unit(steps: str, length: float) -> None:
    assert bound(steps=steps).duration == pytest.approx(length)


@pytest.mark.parametrize("steps", ["80st", "10ep", "1run", "99ep"])
def test_a_warmup_as_long_as_the_run_is_refused(steps: str) -> None:
    warmup = bound(steps=steps)
    with pytest.raises(ValueError, match=rf"warmup\.steps={steps} is .* but the run has 80 steps"):
        warmup.check_clock(CLOCK)


@pytest.mark.parametrize(
    ("setting", "value"), [("steps", "5"), ("start_factor", -0.1), ("start_factor", 1.1)]
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"warmup.{setting}"):
        Gradual(**{setting: value})  # pyright: ignore
