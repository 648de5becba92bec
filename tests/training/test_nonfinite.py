"""The guard with a gradient scaler, as with precision=fp16; test_step.py has the rest."""

import math

import pytest
import torch
from torch import nn

from trainer.training.nonfinite import NonFiniteGuard

SCALE = 1024.0


def guarded(**options) -> tuple[nn.Parameter, NonFiniteGuard]:
    """Make a weight of 1 and a guard around SGD with lr 1."""
    weight = nn.Parameter(torch.ones(()))
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
    return weight, NonFiniteGuard(torch.optim.SGD([weight], lr=1.0), [], scaler=scaler, **options)


def step(
    weight: nn.Parameter, guard: NonFiniteGuard, factor: float, denominator: float = 1.0
) -> bool:
    """Take a step on the loss factor · weight, whose gradient is the factor."""
    guard.start()
    loss = factor * weight
    guard.scaler.scale(loss).backward()
    norm, _ = guard.gradients()
    return guard.update(loss.detach(), norm, torch.tensor(denominator), 0)


@pytest.mark.parametrize(
    ("factor", "denominator", "scale"),
    [(math.nan, 1.0, SCALE / 2), (math.inf, 1.0, SCALE / 2), (0.0, 0.0, SCALE)],
    ids=["loss is NaN", "loss is infinite", "nothing counts"],
)
def test_a_step_that_is_not_taken_leaves_the_scaler_ready(factor, denominator, scale):
    """Without scaler.update() the next unscale_() raises, having been called already."""
    weight, guard = guarded(policy="skip")
    assert not step(weight, guard, factor, denominator)
    assert weight.item() == 1
    assert guard.scaler.get_scale() == scale
    assert step(weight, guard, 0.25)
    assert weight.item() == 0.75


def test_an_infinite_gradient_of_a_finite_loss_is_the_scalers_to_skip():
    weight, guard = guarded()
    step(weight, guard, 1e36)  # times the scale it overflows float32
    assert weight.item() == 1
    assert guard.scaler.get_scale() == SCALE / 2
    assert guard.in_a_row == 0
    assert step(weight, guard, 0.25)
    assert weight.item() == 0.75
