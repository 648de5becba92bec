"""Adagrad, against torch's own without fusion and by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.optimizer.adagrad import Adagrad


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("lr_decay", "start"), [(0.0, 0.0), (0.5, 0.1)])
def test_equals_torch(
    furthest: Callable[..., float], weight_decay: float, lr_decay: float, start: float
) -> None:
    settings = {"lr": 0.05, "lr_decay": lr_decay, "initial_accumulator_value": start}
    difference = furthest(
        lambda model: Adagrad(model, weight_decay=weight_decay, **settings),
        lambda groups: torch.optim.Adagrad(groups, fused=False, foreach=False, **settings),
        weight_decay,
    )
    assert difference < 1e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """Gradients 3 and 4: steps of lr · 3/3 and lr · 4/5; decay 0.5 shrinks by 0.95 before each."""
    assert after(lambda m: Adagrad(m, lr=0.1), 3.0, 4.0) == pytest.approx(1 - 0.1 - 0.08)
    made = after(lambda m: Adagrad(m, lr=0.1, weight_decay=0.5, decoupled=True), 3.0, 4.0)
    assert made == pytest.approx(0.85 * 0.95 - 0.08)
    made = after(lambda m: Adagrad(m, lr=0.1, weight_decay=0.5), 0.0)  # L2: a gradient of 0.5
    assert made == pytest.approx(0.9)


@pytest.mark.parametrize("setting", ["lr_decay", "initial_accumulator_value", "eps"])
def test_bad_settings_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        Adagrad(nn.Linear(1, 1), **{setting: -1.0})
