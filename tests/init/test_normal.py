"""N(mean, std²)."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.init.normal import Normal


@pytest.mark.parametrize("layer", [0, 3])
def test_moments(network: Callable[[], nn.Sequential], layer: int) -> None:
    """A standard deviation of 0.05 in every layer; 0.05 as the variance would give √0.05 = 0.22."""
    model = network()
    Normal(mean=0.3, std=0.05)(model)
    weight = model[layer].weight.double()
    assert weight.std().item() == pytest.approx(0.05, rel=0.01)
    assert weight.mean().item() == pytest.approx(0.3, abs=4 * 0.05 / weight.numel() ** 0.5)
    kurtosis = ((weight - weight.mean()) / weight.std()).pow(4).mean()
    assert kurtosis.item() == pytest.approx(3, abs=0.1)


def test_std_5_is_not_mean_5() -> None:
    """`normal_(w, 5)` is N(5, 1)."""
    layer, mistaken = nn.Linear(300, 300), torch.empty(300, 300)
    torch.manual_seed(0)
    Normal(std=5.0)(layer)
    torch.manual_seed(0)
    nn.init.normal_(mistaken, 5)
    assert abs(layer.weight.mean()) < 0.1
    assert layer.weight.std().item() == pytest.approx(5, rel=0.01)
    assert mistaken.mean().item() == pytest.approx(5, abs=0.1)
    assert torch.allclose(layer.weight, 5 * (mistaken - 5), atol=1e-4)


def test_bad_std_is_named() -> None:
    with pytest.raises(ValueError, match=r"init\.std must be in \[0, inf\)"):
        Normal(std=-1.0)
