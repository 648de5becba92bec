"""AdamW, against torch's own without fusion and by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainer.optimizer.adamw import AdamW

BETAS = [0.9, 0.999]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_equals_torch(furthest: Callable[..., float], weight_decay: float, amsgrad: bool) -> None:
    difference = furthest(
        lambda model: AdamW(
            model, lr=0.01, betas=[0.8, 0.95], weight_decay=weight_decay, amsgrad=amsgrad
        ),
        lambda groups: torch.optim.AdamW(
            groups, lr=0.01, betas=(0.8, 0.95), amsgrad=amsgrad, fused=False, foreach=False
        ),
        weight_decay,
    )
    assert difference < 1e-6


def test_weight_decay_is_decoupled(after: Callable[..., float]) -> None:
    """A zero gradient: the weight of 1 becomes 1 − lr·decay = 0.95, and 0.95² after two steps."""

    def make(model: nn.Module) -> AdamW:
        return AdamW(model, lr=0.1, betas=BETAS, weight_decay=0.5)

    assert after(make, 0.0) == pytest.approx(0.95)
    assert after(make, 0.0, 0.0) == pytest.approx(0.9025)
    assert after(make, 3.0) == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("setting", "value"), [("betas", [-0.1, 0.9]), ("betas", []), ("eps", float("nan"))]
)
def test_bad_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        AdamW(nn.Linear(1, 1), **{"betas": BETAS, setting: value})
