"""The multi-layer perceptron."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainer.model.mlp import Mlp


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [
        (None, 784 * 64 + 64 + 64 * 10 + 10),  # 50,890
        ([64], 50_890),
        ([32, 16], 784 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10),
        ([], 7_850),  # softmax regression
    ],
)
def test_number_of_parameters(hidden: list[int] | None, parameters: int) -> None:
    model = Mlp(shape=(1, 28, 28), outputs=10, hidden=hidden)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_forward_matches_functional_layers() -> None:
    torch.manual_seed(0)
    model = Mlp(shape=(2, 3, 4), outputs=5, hidden=[7, 6])
    first, second, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    images = torch.randn(8, 2, 3, 4)
    hidden = F.relu(images.reshape(8, 24) @ first.weight.T + first.bias)
    hidden = F.relu(hidden @ second.weight.T + second.bias)
    expected = hidden @ last.weight.T + last.bias
    assert torch.allclose(model(images), expected, atol=1e-6)


def test_dropout_follows_every_hidden_layer() -> None:
    def dropouts(rate: float) -> list[float]:
        model = Mlp(shape=(1, 2, 2), outputs=3, hidden=[5, 5], dropout=rate)
        return [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]

    assert dropouts(0.25) == [0.25, 0.25]
    assert dropouts(0.0) == []


@pytest.mark.parametrize(("setting", "value"), [("hidden", [64, 0]), ("dropout", 1.0)])
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"model\.{setting} must be in"):
        Mlp(shape=(1, 28, 28), outputs=10, **{setting: value})  # pyright: ignore
