"""U(low, high)."""

import pytest
import torch
from torch import nn

from trainer.init.uniform import Uniform


def test_range_and_moments() -> None:
    layer = nn.Linear(300, 400)
    torch.manual_seed(0)
    Uniform(low=-1.0, high=3.0)(layer)
    weight = layer.weight.double()
    assert weight.min().item() == pytest.approx(-1, abs=1e-3)
    assert weight.max().item() == pytest.approx(3, abs=1e-3)
    assert weight.mean().item() == pytest.approx(1, abs=0.02)
    assert weight.var().item() == pytest.approx(16 / 12, rel=0.01)


def test_the_default_has_both_signs() -> None:
    """`uniform_()` is U(0, 1): no weight below 0, a mean of a half."""
    layer = nn.Linear(300, 400)
    torch.manual_seed(0)
    Uniform()(layer)
    assert layer.weight.abs().max() <= 0.05
    assert abs(layer.weight.mean()) < 1e-3
    assert (layer.weight < 0).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_an_empty_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"init\.high must be above init\.low=0\.5, got 0\.5"):
        Uniform(low=0.5, high=0.5)
