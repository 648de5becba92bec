"""The parameters that an initialisation changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainer.init.base import Init


class Twos(Init):
    """Fills with 2."""

    def fill(self, weight: Tensor) -> None:
        weight.fill_(2)


def test_weights_are_filled_biases_zero_norms_unchanged(
    network: Callable[[], nn.Sequential],
) -> None:
    model = network()
    Twos()(model)
    assert all((model[i].weight == 2).all() for i in (0, 3, 5))
    assert all((model[i].bias == 0).all() for i in (0, 3))  # layer 5 has no bias
    for norm in (model[1], model[2], model[4]):
        assert (norm.weight == 0.7).all()
        assert (norm.bias == 0.3).all()


@pytest.mark.parametrize("convolution", [nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d])
def test_every_type_of_convolution_is_filled(convolution: type[nn.Module]) -> None:
    layer = convolution(2, 3, 1)
    Twos()(layer)
    assert (layer.weight == 2).all()  # pyright: ignore
    assert (layer.bias == 0).all()  # pyright: ignore


def test_filled_weights_still_get_gradients() -> None:
    layer = nn.Linear(3, 1)
    Twos()(layer)
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1, 1, 1]]


def test_only_named_modules_are_filled() -> None:
    """A name covers everything inside its module, but not other names with the same prefix."""
    model = nn.ModuleDict(
        {
            "head": nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)),
            "head2": nn.Linear(2, 2),
            "body": nn.ModuleDict({"head": nn.Linear(2, 2)}),
        }
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def changed() -> set[str]:
        state = model.state_dict()
        return {name for name in state if not torch.equal(state[name], before[name])}

    Twos()(model, only=set())
    assert changed() == set()
    Twos()(model, only={"body.head"})
    assert changed() == {"body.head.weight", "body.head.bias"}
    Twos()(model, only={"head"})
    assert {name.rpartition(".")[0] for name in changed()} == {"body.head", "head.0", "head.1"}


def test_biases_are_set_to_the_bias_setting() -> None:
    layer = nn.Linear(2, 3)
    Twos(bias=-0.5)(layer)
    assert layer.bias.tolist() == [-0.5] * 3
