"""Which parameters an initialisation touches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainer.init.base import Init


class Twos(Init):
    """Fills with 2."""

    def fill(self, weight: Tensor) -> None:
        weight.fill_(2)


def test_weights_are_filled_biases_zero_norms_as_they_were(
    network: Callable[[], nn.Sequential],
) -> None:
    model = network()
    Twos()(model)
    for layer in (model[0], model[3], model[5]):
        assert (layer.weight == 2).all()
        assert layer.bias is None or (layer.bias == 0).all()
    for norm in (model[1], model[2], model[4]):
        assert (norm.weight == 0.7).all()
        assert (norm.bias == 0.3).all()


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d])
def test_every_convolution_is_filled(kind: type[nn.Module]) -> None:
    layer = kind(2, 3, 1)
    Twos()(layer)
    assert (layer.weight == 2).all()  # pyright: ignore
    assert (layer.bias == 0).all()  # pyright: ignore


def test_gradients_go_on_through_what_was_filled() -> None:
    layer = nn.Linear(3, 1)
    Twos()(layer)
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1, 1, 1]]
