"""U(−a, a) with a = √(6 / fan_in)."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.init.kaiming_uniform import KaimingUniform


@pytest.mark.parametrize(
    ("layer", "bound"),
    [(0, 0.1), (3, 0.1)],  # √(6 / 600): 600 inputs, 40 channels · 15
)
def test_bound_and_variance(network: Callable[[], nn.Sequential], layer: int, bound: float) -> None:
    """torch's own layers have a = √(1 / fan_in), a sixth of the variance."""
    model = network()
    own = model[layer].weight.var().item()
    KaimingUniform()(model)
    weight = model[layer].weight.double()
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.02)
    assert weight.var().item() == pytest.approx(6 * own, rel=0.03)


def test_equals_torch(network: Callable[[], nn.Sequential]) -> None:
    model, reference = network(), network()
    torch.manual_seed(1)
    KaimingUniform()(model)
    torch.manual_seed(1)
    for layer in (0, 3, 5):
        nn.init.kaiming_uniform_(reference[layer].weight, nonlinearity="relu")
        assert torch.equal(model[layer].weight, reference[layer].weight)
