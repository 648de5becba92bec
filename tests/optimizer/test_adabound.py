"""AdaBound and AMSBound, against the formula one number at a time and by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from trainer.optimizer.adabound import AdaBound

BETAS = [0.9, 0.999]


class Slow(Optimizer):
    """The formula in Python's floats, a weight at a time; decay as L2."""

    def __init__(self, groups: list[dict], *, amsbound: bool, decoupled: bool) -> None:
        super().__init__(groups, {"lr": 0.01})
        self.amsbound = amsbound
        self.decoupled = decoupled

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                flat = p.data.view(-1)
                cells = self.state[p].setdefault("cells", [{} for _ in flat])
                for i, (cell, g) in enumerate(zip(cells, p.grad.flatten().tolist(), strict=True)):
                    flat[i] = self.moved(cell, flat[i].item(), g, group["weight_decay"])

    def moved(self, cell: dict, w: float, g: float, decay: float) -> float:
        alpha, beta1, beta2, final, gamma, eps = 0.01, 0.8, 0.95, 0.02, 0.1, 1e-6
        t = cell["t"] = cell.get("t", 0) + 1
        if self.decoupled:
            w *= 1 - alpha * decay
        else:
            g += decay * w
        m = cell["m"] = beta1 * cell.get("m", 0.0) + (1 - beta1) * g
        v = cell["v"] = beta2 * cell.get("v", 0.0) + (1 - beta2) * g * g
        if self.amsbound:
            v = cell["peak"] = max(cell.get("peak", 0.0), v)
        rate = alpha * math.sqrt(1 - beta2**t) / (1 - beta1**t) / (math.sqrt(v) + eps)
        low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
        return w - min(max(rate, low), high) * m


@pytest.mark.parametrize("amsbound", [False, True])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.3, False), (0.3, True)])
def test_equals_the_formula(
    furthest: Callable[..., float], amsbound: bool, weight_decay: float, decoupled: bool
) -> None:
    difference = furthest(
        lambda model: AdaBound(
            model,
            lr=0.01,
            betas=[0.8, 0.95],
            final_lr=0.02,
            gamma=0.1,
            eps=1e-6,
            weight_decay=weight_decay,
            decoupled=decoupled,
            amsbound=amsbound,
        ),
        lambda groups: Slow(groups, amsbound=amsbound, decoupled=decoupled),
        weight_decay,
    )
    assert difference < 2e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """Gradient 4: m = 0.4. Adam's rate is lr / 0.4 = 0.0025, within the bounds 1e-4 and 100.1.

    With γ = 0.9 they are 0.1(1 − 1/1.9) = 0.04737 and 0.1(1 + 1/0.9): it is clipped from below.
    With f = 1e-6 they are 0 and 1.001e-3: it is clipped from above.
    """
    made = after(lambda m: AdaBound(m, betas=BETAS), 4.0)
    assert made == pytest.approx(1 - 0.0025 * 0.4, abs=1e-6)
    made = after(lambda m: AdaBound(m, betas=BETAS, gamma=0.9), 4.0)
    assert made == pytest.approx(1 - 0.0473684 * 0.4, abs=1e-6)
    made = after(lambda m: AdaBound(m, betas=BETAS, final_lr=1e-6), 4.0)
    assert made == pytest.approx(1 - 1.001e-3 * 0.4, abs=1e-6)


def test_amsbound_keeps_the_largest_mean_square(after: Callable[..., float]) -> None:
    """Gradients 4 and 0: v falls from 0.8 to 0.76, its peak stays at 0.8; m is 0.4, then 0.36."""
    start = after(lambda m: AdaBound(m, lr=0.1, betas=[0.9, 0.95]), 4.0)
    assert start == pytest.approx(1 - 0.1, abs=1e-6)
    correction = 0.1 * (1 - 0.95**2) ** 0.5 / (1 - 0.9**2)
    for amsbound, square in ((False, 0.76), (True, 0.8)):
        made = after(
            lambda m, amsbound=amsbound: AdaBound(m, lr=0.1, betas=[0.9, 0.95], amsbound=amsbound),
            4.0,
            0.0,
        )
        assert made == pytest.approx(start - correction / square**0.5 * 0.36, abs=1e-6)


def test_it_converges_to_sgd_with_the_final_rate(after: Callable[..., float]) -> None:
    """With a constant gradient of 1 and converged bounds, steps are f regardless of lr."""
    gradients = [1.0] * 400

    def last_step(lr: float) -> float:
        made = [
            after(lambda m: AdaBound(m, lr=lr, betas=BETAS, gamma=0.999), *gradients[:n])
            for n in (399, 400)
        ]
        return made[0] - made[1]

    for lr in (1e-4, 1e-2):
        assert last_step(lr) == pytest.approx(0.1, rel=5e-3)


@pytest.mark.parametrize("gamma", [1e-3, 0.9])  # Adam's rate, and the lower bound
def test_the_final_rate_follows_the_schedule(gamma: float) -> None:
    """Half the learning rate halves the step, clipped or not; a fixed bound would not."""
    moves = []
    for factor in (1.0, 0.5):
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        optimizer = AdaBound(model, betas=BETAS, gamma=gamma)
        optimizer.param_groups[0]["lr"] *= factor
        model.weight.grad = torch.full((1, 1), 4.0)
        optimizer.step()
        moves.append(model.weight.item())
    assert moves[1] == pytest.approx(moves[0] / 2, rel=1e-6)


def test_a_weight_unfrozen_later_starts_at_its_own_step_1() -> None:
    """Frozen for three steps, then unfrozen: the same as with a new optimizer."""
    late, early = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    model = nn.ParameterList([early, late])
    optimizer = AdaBound(model, betas=BETAS)
    for step in range(4):
        early.grad = torch.full((1,), 2.0)
        late.grad = torch.full((1,), 2.0) if step == 3 else None
        optimizer.step()
    assert late.item() == pytest.approx(1 - 1e-3, abs=1e-7)
    assert (optimizer.state[early]["step"], optimizer.state[late]["step"]) == (4, 1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("betas", [0.9]), ("final_lr", 0.0), ("gamma", 0.0), ("gamma", 1.0), ("eps", -1.0)],
)
def test_bad_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        AdaBound(nn.Linear(1, 1), **{"betas": BETAS, setting: value})
