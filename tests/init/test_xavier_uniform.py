"""U(−a, a) with a = √(6 / (fan_in + fan_out))."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.init.xavier_uniform import XavierUniform


@pytest.mark.parametrize(
    ("layer", "bound"),
    [(0, (6 / 1000) ** 0.5), (3, (6 / (40 * 15 + 50 * 15)) ** 0.5)],
)
def test_bound_and_variance(network: Callable[[], nn.Sequential], layer: int, bound: float) -> None:
    model = network()
    XavierUniform()(model)
    weight = model[layer].weight.double()
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.02)


def test_equals_torch(network: Callable[[], nn.Sequential]) -> None:
    model, reference = network(), network()
    torch.manual_seed(1)
    XavierUniform()(model)
    torch.manual_seed(1)
    for layer in (0, 3, 5):
        nn.init.xavier_uniform_(reference[layer].weight)
        assert torch.equal(model[layer].weight, reference[layer].weight)
