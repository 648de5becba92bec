"""Constant initialisation."""

from collections.abc import Callable

import torch
from torch import nn

from trainer.init.constant import Constant


def test_weights_and_biases_are_set_to_their_values(network: Callable[[], nn.Sequential]) -> None:
    model = network()
    Constant(value=0.25, bias=0.5)(model)
    assert all((model[i].weight == 0.25).all() for i in (0, 3, 5))
    assert all((model[i].bias == 0.5).all() for i in (0, 3))  # layer 5 has no bias
    assert (model[1].weight == 0.7).all()


def test_units_stay_equal_in_training() -> None:
    """The symmetry is never broken, although the gradient is not zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    Constant(value=0.1)(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
    weight = model[0].weight
    assert (weight - 0.1).abs().max() > 1e-4  # pyright: ignore
    assert torch.equal(weight, weight[:1].expand(4, 3))  # pyright: ignore
