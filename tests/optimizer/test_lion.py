"""Lion, against the paper's pseudo-code, timm's, and by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from trainer.optimizer.lion import Lion

BETAS = [0.9, 0.99]


class Slow(Optimizer):
    """Program 1 of the paper, a tensor at a time."""

    def __init__(self, groups: list[dict]) -> None:
        super().__init__(groups, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = weight.grad
                momentum = self.state[weight].setdefault("m", torch.zeros_like(weight))
                update = 0.8 * momentum + (1 - 0.8) * gradient
                update = torch.sign(update) + weight * group["weight_decay"]
                self.state[weight]["m"] = 0.95 * momentum + (1 - 0.95) * gradient
                weight.sub_(update * group["lr"])


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_the_pseudo_code(furthest: Callable[..., float], weight_decay: float) -> None:
    difference = furthest(
        lambda model: Lion(model, lr=0.01, betas=[0.8, 0.95], weight_decay=weight_decay),
        Slow,
        weight_decay,
    )
    assert difference < 1e-6


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_timm(furthest: Callable[..., float], weight_decay: float) -> None:
    from timm.optim import Lion as Timm

    difference = furthest(
        lambda model: Lion(model, lr=0.01, betas=BETAS, weight_decay=weight_decay),
        lambda groups: Timm(groups, lr=0.01, betas=(0.9, 0.99), foreach=False),
        weight_decay,
    )
    assert difference < 1e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """lr 0.1, gradients 4 and −0.2: m = 0.04, then 0.9 · 0.04 − 0.02 is above 0. A third of −0.5:

    m = 0.0376, 0.9 · 0.0376 − 0.05 is below 0. With one β for both, the second would turn already:
    a momentum of 0.9 · 0.4 is not 0.9 · 0.04.
    """

    def make(model: nn.Module) -> Lion:
        return Lion(model, lr=0.1, betas=BETAS)

    assert after(make, 4.0) == pytest.approx(0.9)
    assert after(make, 4.0, -0.2) == pytest.approx(0.8)
    assert after(make, 4.0, -0.2, -0.5) == pytest.approx(0.9)
    assert after(make, 4.0, -0.5) == pytest.approx(1.0)


def test_decay_is_decoupled(after: Callable[..., float]) -> None:
    """A zero gradient: 1 − lr · decay. As L2 its sign would be a whole step."""

    def make(model: nn.Module) -> Lion:
        return Lion(model, lr=0.1, betas=BETAS, weight_decay=0.5)

    assert after(make, 0.0) == pytest.approx(0.95)
    assert after(make, 4.0) == pytest.approx(0.85)


@pytest.mark.parametrize("betas", [[0.9], [0.9, 1.0]])
def test_bad_settings_are_named(betas: list[float]) -> None:
    with pytest.raises(ValueError, match=r"optimizer\.betas"):
        Lion(nn.Linear(1, 1), betas=betas)
