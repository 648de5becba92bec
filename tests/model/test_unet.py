"""The U-Net."""

import pytest
import torch
import torch.nn.functional as F

from trainer.model.unet import Unet


def test_number_of_parameters():
    """As many as the widely used padded version with batch norm, from RGB to one map."""
    with torch.device("meta"):
        model = Unet(shape=(3, 64, 64), outputs=1)
    assert sum(p.numel() for p in model.parameters()) == 31_037_633


def test_number_of_parameters_by_hand():
    """Width 2, depth 1, one channel in, three out."""
    model = Unet(shape=(1, 4, 4), outputs=3, width=2, depth=1)
    down = 9 * 1 * 2 + 9 * 2 * 2 + 2 * 4  # two convolutions and two norms
    lowest = 9 * 2 * 4 + 9 * 4 * 4 + 2 * 8
    rise = 4 * 2 * 4 + 2
    up = 9 * 4 * 2 + 9 * 2 * 2 + 2 * 4
    last = 2 * 3 + 3
    assert sum(p.numel() for p in model.parameters()) == down + lowest + rise + up + last


def test_forward_matches_functional_layers():
    torch.manual_seed(0)
    model = Unet(shape=(2, 6, 4), outputs=3, width=3, depth=1).eval()
    images = torch.randn(2, 2, 6, 4)
    skip = model.down[0](images)
    low = model.lowest(F.max_pool2d(skip, 2))
    rise = F.conv_transpose2d(low, model.rise[0].weight, model.rise[0].bias, stride=2)
    high = model.up[0](torch.cat([skip, rise], 1))
    expected = F.conv2d(high, model.last.weight, model.last.bias)
    assert torch.allclose(model(images), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (33, 31), (17, 40), (8, 8), (3, 5), (1, 1)])
@pytest.mark.parametrize("depth", [1, 3])
def test_outputs_have_the_size_of_the_images(size, depth):
    model = Unet(shape=(1, *size), outputs=4, width=2, depth=depth)
    outputs = model(torch.randn(2, 1, *size))
    assert outputs.shape == (2, 4, *size)
    outputs.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_an_odd_row_is_not_lost_on_the_way_down():
    """Side 5 becomes 3, not 2; the last row is pooled on its own."""
    model = Unet(shape=(1, 5, 5), outputs=1, width=2, depth=1).eval()
    pooled = []
    model.lowest.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    images = torch.randn(1, 1, 5, 5)
    model(images)
    assert pooled[0].shape[-2:] == (3, 3)
    assert torch.equal(pooled[0][..., 2, 2], model.down[0](images)[..., 4, 4])


@pytest.mark.parametrize(("setting", "value"), [("width", 0), ("depth", 0), ("dropout", 1.0)])
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=rf"model\.{setting} must be in .* {value}$"):
        Unet(shape=(3, 32, 32), outputs=10, **{setting: value})


@pytest.mark.parametrize(("side", "width", "depth"), [(63, 12, 2), (64, 64, 4)])
def test_auto_is_the_published_size_for_large_images(side, width, depth):
    with torch.device("meta"):
        model = Unet(shape=(1, side, side), outputs=2)
    assert (model.last.in_channels, len(model.down)) == (width, depth)
