"""Wide residual networks."""

import pytest
import torch
import torch.nn.functional as F

from trainer.model.wide_resnet import Block, WideResnet


@pytest.mark.parametrize(
    ("depth", "widen", "published", "parameters"),
    [
        (28, 10, 36.5, 36_479_194),
        (40, 4, 8.9, 8_949_210),
        (16, 8, 11.0, 10_961_370),
        (40, 1, 0.6, 563_930),
    ],
)
def test_number_of_parameters_is_as_published(depth, widen, published, parameters):
    """Table 4 of the paper, in millions."""
    with torch.device("meta"):
        model = WideResnet(shape=(3, 32, 32), outputs=10, depth=depth, widen=widen)
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters
    assert count / 1e6 == pytest.approx(published, abs=0.06)


@pytest.mark.parametrize("fan_out", [4, 6])
def test_a_block_by_functions(fan_out):
    """For equal widths the shortcut is the raw input; otherwise a convolution of the active one."""
    torch.manual_seed(0)
    block = Block(4, fan_out, 1, 0.5).eval()
    maps = torch.randn(2, 4, 5, 5)
    active = F.relu(block.bn1(maps))
    inner = F.conv2d(active, block.conv1.weight, padding=1)
    inner = F.conv2d(F.relu(block.bn2(inner)), block.conv2.weight, padding=1)
    shortcut = maps if block.shortcut is None else F.conv2d(active, block.shortcut.weight)
    assert torch.allclose(block(maps), inner + shortcut, atol=1e-6)


def test_dropout_is_between_the_convolutions():
    torch.manual_seed(0)
    block = Block(2, 2, 1, 0.5)
    inputs_of = []
    block.conv1.register_forward_pre_hook(lambda _, inputs: inputs_of.append(inputs[0]))
    block.conv2.register_forward_pre_hook(lambda _, inputs: inputs_of.append(inputs[0]))
    block(torch.full((8, 2, 9, 9), 5.0) + torch.randn(8, 2, 9, 9))
    zero = [(maps == 0).float().mean().item() for maps in inputs_of]
    assert zero == pytest.approx([0.5, 0.75], abs=0.05)  # half by ReLU, half of the rest dropped


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 17), (1, 1, 1)])
def test_images_of_any_size(shape):
    model = WideResnet(shape=shape, outputs=7, depth=10, widen=1)
    assert model(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("setting", "value"), [("depth", 20), ("depth", 4), ("widen", 0), ("dropout", 1.0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=rf"model\.{setting} must be .* {value}$"):
        WideResnet(shape=(3, 32, 32), outputs=10, **{setting: value})
