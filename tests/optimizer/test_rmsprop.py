"""RMSprop, against torch's own one weight at a time and by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.optimizer.rmsprop import RMSprop


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("momentum", "centered"), [(0.0, False), (0.9, False), (0.5, True)])
def test_equals_torch(
    furthest: Callable[..., float], weight_decay: float, momentum: float, centered: bool
) -> None:
    settings = {"lr": 0.01, "alpha": 0.9, "momentum": momentum, "centered": centered}
    difference = furthest(
        lambda model: RMSprop(model, weight_decay=weight_decay, **settings),
        lambda groups: torch.optim.RMSprop(groups, foreach=False, **settings),
        weight_decay,
    )
    assert difference < 1e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """Gradient 4: √v = √(0.01 · 16) = 0.4, a step of 10 · lr. Decay 0.5 shrinks to 0.95 before."""
    assert after(lambda m: RMSprop(m, lr=0.01), 4.0) == pytest.approx(0.9)
    made = after(lambda m: RMSprop(m, lr=0.1, alpha=0.0, weight_decay=0.5, decoupled=True), 4.0)
    assert made == pytest.approx(0.85)
    made = after(lambda m: RMSprop(m, lr=0.1, weight_decay=0.5), 0.0)  # L2: a gradient of 0.5
    assert made == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("setting", "value"), [("alpha", 1.0), ("eps", -1.0), ("momentum", -0.1)])
def test_bad_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        RMSprop(nn.Linear(1, 1), **{setting: value})
