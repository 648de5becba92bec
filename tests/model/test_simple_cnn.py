"""The simple convolutional network of introductory tutorials."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainer.model.simple_cnn import SimpleCnn


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_mnist_flattens_to_1600() -> None:
    """28 → 26 → 13 → 11 → 5, and 64·5·5 = 1600; not 64·24·24."""
    model = SimpleCnn(shape=(1, 28, 28), outputs=10)
    assert model.fc1.in_features == 1600
    assert model.conv1.padding == (0, 0)
    layers = 32 * 9 + 32, 64 * 32 * 9 + 64, 1600 * 128 + 128, 128 * 10 + 10
    assert parameters(model) == sum(layers) == 225_034
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize(
    ("shape", "padding", "pad", "flat"),
    [
        ((1, 8, 8), "auto", 1, 64 * 2 * 2),  # would be 64·0·0 without padding
        ((1, 9, 9), "auto", 1, 64 * 2 * 2),
        ((1, 10, 10), "auto", 0, 64),
        ((3, 32, 32), "auto", 0, 64 * 6 * 6),
        ((3, 32, 32), 1, 1, 64 * 8 * 8),
        ((3, 40, 24), 0, 0, 64 * 8 * 4),
        ((1, 8, 40), "auto", 1, 64 * 2 * 10),
        ((1, 40, 8), "auto", 1, 64 * 10 * 2),
        ((1, 4, 4), "auto", 1, 64),
    ],
)
def test_flattened_size(
    shape: tuple[int, int, int], padding: int | str, pad: int, flat: int
) -> None:
    model = SimpleCnn(shape=shape, outputs=7, padding=padding)  # pyright: ignore
    assert model.conv1.padding == model.conv2.padding == (pad, pad)
    assert model.fc1.in_features == flat
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("shape", "padding"), [((1, 8, 8), 0), ((1, 3, 3), "auto"), ((1, 28, 3), 1), ((1, 9, 28), 0)]
)
def test_a_vanishing_map_is_reported(shape: tuple[int, int, int], padding: int | str) -> None:
    with pytest.raises(
        ValueError, match=rf"model\.padding={padding} leaves nothing of {shape[1]}x"
    ):
        SimpleCnn(shape=shape, outputs=10, padding=padding)  # pyright: ignore


def test_forward_matches_functional_layers() -> None:
    torch.manual_seed(0)
    model = SimpleCnn(shape=(2, 12, 11), outputs=4, dropout=0.5).eval()
    images = torch.randn(3, 2, 12, 11)
    p = dict(model.named_parameters())
    maps = F.max_pool2d(F.relu(F.conv2d(images, p["conv1.weight"], p["conv1.bias"])), 2)
    maps = F.max_pool2d(F.relu(F.conv2d(maps, p["conv2.weight"], p["conv2.bias"])), 2)
    hidden = F.relu(maps.reshape(3, -1) @ p["fc1.weight"].T + p["fc1.bias"])
    expected = hidden @ p["fc2.weight"].T + p["fc2.bias"]
    assert torch.allclose(model(images), expected, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = SimpleCnn(shape=(1, 8, 8), outputs=3, dropout=0.5)
    images = torch.randn(4, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize(
    ("setting", "value"), [("padding", 2), ("padding", "same"), ("dropout", 1.0)]
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"model\.{setting} must be .* {value}$"):
        SimpleCnn(shape=(1, 28, 28), outputs=10, **{setting: value})  # pyright: ignore
