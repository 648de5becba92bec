"""A truncated normal distribution."""

import pytest
import torch
from scipy import stats
from torch import nn

from trainer.init.trunc_normal import TruncNormal


@pytest.mark.parametrize(("cut", "left"), [(2.0, 0.8796), (1.0, 0.5396)])
def test_bounds_and_deviation(cut: float, left: float) -> None:
    """The deviation shrinks by √(1 − 2c·φ(c) / (2Φ(c) − 1)): 0.8796 at c = 2."""
    layer = nn.Linear(400, 500)
    torch.manual_seed(0)
    TruncNormal(mean=0.1, std=0.5, cut=cut)(layer)
    weight = layer.weight.double()
    assert (weight - 0.1).abs().max().item() == pytest.approx(cut * 0.5, rel=1e-3)
    assert weight.std().item() == pytest.approx(left * 0.5, rel=0.01)
    assert stats.truncnorm.std(-cut, cut) == pytest.approx(left, abs=1e-4)
    assert weight.mean().item() == pytest.approx(0.1, abs=0.005)


def test_the_cut_is_in_standard_deviations() -> None:
    """torch's default bounds of ±2 do not truncate a deviation of 0.02."""
    layer, mistaken = nn.Linear(300, 300), torch.empty(300, 300)
    torch.manual_seed(0)
    TruncNormal()(layer)
    nn.init.trunc_normal_(mistaken, std=0.02)
    assert layer.weight.abs().max() <= 0.04 + 1e-7
    assert mistaken.abs().max() > 0.06


@pytest.mark.parametrize("setting", ["std", "cut"])
def test_bad_settings_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=rf"init\.{setting} must be in \(0, inf\)"):
        TruncNormal(**{setting: 0.0})
