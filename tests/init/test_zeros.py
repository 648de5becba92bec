"""All weights zero."""

from collections.abc import Callable

from torch import nn

from trainer.init.zeros import Zeros


def test_all_weights_and_biases_are_zero(network: Callable[[], nn.Sequential]) -> None:
    model = network()
    Zeros()(model)
    for layer in (model[0], model[3], model[5]):
        assert all(not parameter.any() for parameter in layer.parameters())
    assert model[1].weight.all()
