"""N(0, 2 / (fan_in + fan_out))."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.init.xavier_normal import XavierNormal


@pytest.mark.parametrize(
    ("layer", "variance"),
    [(0, 2 / (600 + 400)), (3, 2 / (40 * 15 + 50 * 15))],  # channels · kernel of both sides
)
def test_variance(network: Callable[[], nn.Sequential], layer: int, variance: float) -> None:
    """2 / (fan_in + fan_out) as the deviation would make the variance 500 times smaller."""
    model = network()
    XavierNormal()(model)
    weight = model[layer].weight.double()
    assert weight.var().item() == pytest.approx(variance, rel=0.02)
    assert abs(weight.mean()) < 4 * (variance / weight.numel()) ** 0.5
    assert weight.abs().max() > 3 * variance**0.5  # a uniform one ends at √3


def test_equals_torch(network: Callable[[], nn.Sequential]) -> None:
    model, reference = network(), network()
    torch.manual_seed(1)
    XavierNormal()(model)
    torch.manual_seed(1)
    for layer in (0, 3, 5):
        nn.init.xavier_normal_(reference[layer].weight)
        assert torch.equal(model[layer].weight, reference[layer].weight)
