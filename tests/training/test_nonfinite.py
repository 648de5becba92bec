"""The guard with a gradient scaler, as with precision=fp16; test_step.py has the rest."""

import math

import pytest
import torch
from torch import nn

from trainer.core.errors import NonFiniteError
from trainer.training.nonfinite import NonFiniteGuard, Snapshot
from trainer.training.weight_average import Ema

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


def test_a_snapshot_restores_tensors_of_every_layout_where_its_mask_is_true():
    kinds = [torch.float32, torch.int64, torch.bfloat16, torch.bool, torch.float64]
    tensors = [torch.arange(24).remainder(5).to(kind).view(2, 3, 2, 2) for kind in kinds]
    tensors[0] = tensors[0].to(memory_format=torch.channels_last)
    tensors += [torch.ones(3, 4)[:, 1:3], torch.tensor(7), torch.empty(0)]
    snapshot = Snapshot(tensors)
    snapshot.take()
    before = [tensor.clone() for tensor in tensors]
    for tensor in tensors:
        tensor.copy_(torch.zeros_like(tensor))
    snapshot.restore_where(torch.tensor(False))
    assert not any(tensor.any() for tensor in tensors)
    snapshot.restore_where(torch.tensor(True))
    assert [t.tolist() for t in tensors] == [t.tolist() for t in before]


def test_a_snapshot_outlives_the_use_of_averaged_weights():
    """They take the place of a model's tensors by pointer, and give it back."""
    model = nn.BatchNorm1d(2)
    average = Ema(model, 0.5)
    snapshot = Snapshot(list(model.buffers()))
    with average.applied(lambda: None):
        pass
    model.running_var.fill_(3.0)  # pyright: ignore
    snapshot.take()
    model.running_var.fill_(torch.nan)  # pyright: ignore
    snapshot.restore()
    assert model.state_dict()["running_var"].tolist() == [3, 3]


def test_a_deferred_guard_counts_rows_of_bad_steps_as_a_reading_one():
    """A row that has ended when the flag is read was too long all the same."""
    weight = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    guard = NonFiniteGuard(optimizer, [], policy="skip", max_skips=1, deferred=True)
    for i, factor in enumerate([0.25, math.nan, 0.25, math.inf]):
        guard.start()
        (factor * weight).backward()
        norm, _ = guard.gradients()
        guard.update((factor * weight).detach(), norm, torch.tensor(1.0), i)
    guard.read_flag()
    assert (weight.item(), guard.in_a_row) == (0.5, 1)
    guard.update(torch.tensor(math.nan), torch.tensor(1.0), torch.tensor(1.0), 4)
    guard.update(torch.tensor(1.0), torch.tensor(1.0), torch.tensor(0.0), 5)
    with pytest.raises(NonFiniteError, match=r"2 steps in a row .*, first at step 4"):
        guard.read_flag()
    assert weight.item() == 0.5
