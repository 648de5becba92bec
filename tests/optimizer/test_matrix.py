"""Properties that all optimizers share."""

import copy
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import node_of, options
from torch import nn
from torch.optim import Optimizer

from trainer.config.build import build

OPTIONS = options("optimizer")
DECOUPLED = [name for name in OPTIONS if "decoupled" in node_of("optimizer", name)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def make(name: str, model: nn.Module, **settings: Any) -> Optimizer:
    return build(node_of("optimizer", name) | settings, "optimizer", Optimizer, model=model)


def train(model: nn.Module, optimizer: Optimizer, steps: range) -> float:
    """The loss before the last step."""
    loss = torch.zeros(())
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        inputs = torch.randn(32, 5, generator=rng)
        loss = F.cross_entropy(model(inputs), inputs[:, :3].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", OPTIONS)
def test_the_loss_decreases(name: str) -> None:
    model = network()
    optimizer = make(name, model, lr=0.02)
    start = train(model, optimizer, range(1))
    assert train(model, optimizer, range(1, 60)) < 0.75 * start


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("decoupled", [False, True])
def test_a_restored_optimizer_continues_bit_by_bit(name: str, decoupled: bool) -> None:
    settings = {"weight_decay": 0.1} | ({"decoupled": decoupled} if name in DECOUPLED else {})
    whole, first = network(), network()
    train(whole, make(name, whole, **settings), range(8))
    optimizer = make(name, first, **settings)
    train(first, optimizer, range(5))
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    second = copy.deepcopy(first)
    again = make(name, second, **settings)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    train(second, again, range(5, 8))
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("decoupled", [False, True])
def test_biases_and_norms_are_not_decayed(name: str, decoupled: bool) -> None:
    """With zero gradients only decay changes the weights."""
    settings = {"decoupled": decoupled} if name in DECOUPLED else {}
    for everything in (False, True):
        model = network()
        for p in model.parameters():
            nn.init.constant_(p, 0.5)
            p.grad = torch.zeros_like(p)
        make(name, model, weight_decay=0.5, decay_bias_norm=everything, **settings).step()
        for p in model.parameters():
            decayed = everything or p.ndim > 1
            assert (p != 0.5).float().mean() == float(decayed)


@pytest.mark.parametrize("name", DECOUPLED)
def test_decoupled_decay_shrinks_by_lr_times_decay(name: str) -> None:
    model = network()
    before = model[0].weight.detach().clone()
    optimizer = make(name, model, lr=0.1, weight_decay=0.5, decoupled=True)
    optimizer.param_groups[0]["lr"] = 0.2  # the schedule's
    model[0].weight.grad = torch.zeros(8, 5)
    optimizer.step()
    assert torch.allclose(model[0].weight, 0.9 * before)


@pytest.mark.parametrize("name", OPTIONS)
def test_weights_without_a_gradient_are_unchanged(name: str) -> None:
    """Frozen weights are not decayed either, and may be unfrozen later."""
    model = network()
    before = model[0].weight.detach().clone()
    optimizer = make(name, model, weight_decay=0.5)
    model[3].weight.grad = torch.ones(3, 8)
    for _ in range(2):
        optimizer.step()
    assert torch.equal(model[0].weight, before)
    model[0].weight.grad = torch.ones(8, 5)
    optimizer.step()
    assert (model[0].weight < before).float().mean() > 0.9
