"""Adam, against torch's own without fusion and by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainer.optimizer.adam import Adam

BETAS = [0.9, 0.999]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_equals_torch(furthest: Callable[..., float], weight_decay: float, amsgrad: bool) -> None:
    difference = furthest(
        lambda model: Adam(
            model, lr=0.01, betas=[0.8, 0.95], weight_decay=weight_decay, amsgrad=amsgrad
        ),
        lambda groups: torch.optim.Adam(
            groups, lr=0.01, betas=(0.8, 0.95), amsgrad=amsgrad, fused=False, foreach=False
        ),
        weight_decay,
    )
    assert difference < 1e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """The first step is lr · g/|g| for any g; at a zero gradient only the momentum remains."""
    assert after(lambda m: Adam(m, lr=0.1, betas=BETAS), 4.0) == pytest.approx(0.9)
    m = 0.9 * 0.4 / (1 - 0.81)  # β₁(1 − β₁)·4, bias corrected
    v = 0.999 * 0.016 / (1 - 0.999**2)
    expected = 0.9 - 0.1 * m / v**0.5
    got = after(lambda model: Adam(model, lr=0.1, betas=BETAS), 4.0, 0.0)
    assert got == pytest.approx(expected, rel=1e-5)


def test_weight_decay_is_l2(after: Callable[..., float]) -> None:
    """A zero gradient and decay 0.5 of a weight of 1: a gradient of 0.5, a step of lr."""
    made = after(lambda model: Adam(model, lr=0.1, betas=BETAS, weight_decay=0.5), 0.0)
    assert made == pytest.approx(0.9)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_decoupled_decay_equals_adamw(furthest: Callable[..., float], amsgrad: bool) -> None:
    settings = {"lr": 0.01, "amsgrad": amsgrad}
    difference = furthest(
        lambda model: Adam(model, betas=BETAS, weight_decay=0.3, decoupled=True, **settings),
        lambda groups: torch.optim.AdamW(groups, fused=False, foreach=False, **settings),
        0.3,
    )
    assert difference < 1e-6


@pytest.mark.parametrize(
    ("setting", "value"),
    [("betas", [0.9, 1.0]), ("betas", [0.9]), ("betas", [0.9, 0.9, 0.9]), ("eps", -1.0)],
)
def test_bad_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        Adam(nn.Linear(1, 1), **{"betas": BETAS, setting: value})
