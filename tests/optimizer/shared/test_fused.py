"""Steps by the fused kernel alone, against torch's own steps with the same kernel."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.optimizer import Adam, AdamW, Sgd

OPTIMIZERS: dict[str, tuple[type, dict[str, Any]]] = {
    "adam": (Adam, {}),
    "l2 and amsgrad": (Adam, {"weight_decay": 0.1, "amsgrad": True}),
    "adamw": (AdamW, {"weight_decay": 0.1}),
    "momentum": (Sgd, {"weight_decay": 0.1}),
    "nesterov, decoupled": (Sgd, {"nesterov": True, "weight_decay": 0.1, "decoupled": True}),
    "plain": (Sgd, {"momentum": 0.0}),
}


def trained(make: type, settings: dict[str, Any], *, hooked: bool) -> tuple[list[Tensor], dict]:
    """Weights and state after steps with a flag that skips some, the first layer frozen for two.

    With a hook, torch takes the steps.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    optimizer: Optimizer = make(model, **settings)
    calls = []
    if hooked:
        optimizer.register_step_post_hook(lambda *_: calls.append(1))
    for step, flag in enumerate((None, 0.0, 1.0, 0.0)):
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        if step < 2:
            model[0].zero_grad()
        if flag is not None:
            optimizer.found_inf = torch.tensor(flag)  # pyright: ignore
        optimizer.step()
    assert len(calls) == (4 if hooked else 0)
    return [w.detach() for w in model.parameters()], copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_torch_bit_for_bit(name: str) -> None:
    ours, theirs = (trained(*OPTIMIZERS[name], hooked=hooked) for hooked in (False, True))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_torch_takes_what_one_kernel_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dtypes, a closure, and the first step of a weight; the kernel takes the others."""
    taken: list[int] = []
    kernel = Adam.kernel
    monkeypatch.setattr(Adam, "kernel", lambda *args: (taken.append(1), kernel(*args)))
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    optimizer = Adam(model)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    optimizer.step()
    assert not taken
    model[1].zero_grad()
    assert optimizer.step(lambda: 7.0) == 7.0
    assert not taken
    before = model[0].weight.detach().clone()
    optimizer.step()
    assert taken == [1]
    assert (model[0].weight < before).all()
