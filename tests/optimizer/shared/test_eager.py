"""Steps, states and groups without torch._dynamo, which takes a second to import."""

import inspect
import sys
from typing import Any

import pytest
import torch
from support import node_of, options
from torch import nn
from torch.optim import Optimizer

from trainer.config.build import locate
from trainer.optimizer import Adam, RMSprop

DECORATED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an import of torch._dynamo fail, as if nothing had imported it yet."""
    for name in DECORATED:
        monkeypatch.delattr(inspect.unwrap(getattr(Optimizer, name)), "__dynamo_disable", False)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)


def used(make: Any) -> Optimizer:
    """An optimizer of which every method has been called."""
    model = nn.Linear(2, 2)
    optimizer = make(model)
    for _ in range(2):
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
    return optimizer


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("name", options("optimizer"))
def test_no_option_imports_the_compiler(name: str) -> None:
    optimizer = used(locate(node_of("optimizer", name), "optimizer"))
    assert optimizer.param_groups[0]["params"][0].grad is None  # its methods did their work
    assert sys.modules["torch._dynamo"] is None


@pytest.mark.usefixtures("no_compiler")
def test_torchs_own_would() -> None:
    with pytest.raises(ImportError):
        used(lambda model: torch.optim.Adam(model.parameters()))


@pytest.mark.parametrize("make", [Adam, RMSprop])
def test_a_step_records_no_gradient_and_calls_hooks_once(make: Any) -> None:
    """Though torch has put its hooks around the step of its own class, too."""
    model, calls = nn.Linear(2, 2), []
    getattr(torch.optim, make.__name__)([nn.Parameter(torch.zeros(1))])
    optimizer = make(model)
    optimizer.register_step_post_hook(lambda *_: calls.append(torch.is_grad_enabled()))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    before = [weight.detach().clone() for weight in model.parameters()]
    assert optimizer.step(closure).requires_grad
    assert len(calls) == 1
    assert all(not torch.equal(w, b) for w, b in zip(model.parameters(), before, strict=True))
