"""N(0, 2 / fan_in)."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.init.kaiming_normal import KaimingNormal


@pytest.mark.parametrize(
    ("layer", "variance"),
    [(0, 2 / 600), (3, 2 / (40 * 3 * 5))],  # fan_in of a convolution is channels · kernel
)
def test_variance(network: Callable[[], nn.Sequential], layer: int, variance: float) -> None:
    model = network()
    KaimingNormal()(model)
    weight = model[layer].weight.double()
    assert weight.var().item() == pytest.approx(variance, rel=0.02)
    assert abs(weight.mean()) < 4 * (variance / weight.numel()) ** 0.5
    kurtosis = (weight / weight.std()).pow(4).mean()
    assert kurtosis.item() == pytest.approx(3, abs=0.1)  # a uniform one has 1.8


def test_equals_torch(network: Callable[[], nn.Sequential]) -> None:
    model, reference = network(), network()
    torch.manual_seed(1)
    KaimingNormal()(model)
    torch.manual_seed(1)
    for layer in (0, 3, 5):
        nn.init.kaiming_normal_(reference[layer].weight, nonlinearity="relu")
        assert torch.equal(model[layer].weight, reference[layer].weight)
