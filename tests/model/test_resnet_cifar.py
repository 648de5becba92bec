"""Residual networks for small images."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock

from trainer.model.resnet_cifar import Block, ResnetCifar, Subsample


@pytest.mark.parametrize(
    ("depth", "published", "parameters"),
    [
        (20, 0.27, 269_722),
        (32, 0.46, 464_154),
        (44, 0.66, 658_586),
        (56, 0.85, 853_018),
        (110, 1.7, 1_727_962),
    ],
)
def test_number_of_parameters_is_as_published(depth, published, parameters):
    """Table 6 of the paper, in millions, to two digits."""
    model = ResnetCifar(shape=(3, 32, 32), outputs=10, depth=depth)
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters
    assert count / 1e6 == pytest.approx(published, abs=0.03)
    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == depth


def test_option_a_takes_every_other_pixel_and_pads_with_zeros():
    """Of [1, 2, 3, 3] with values 0 to 17, pixels (0, 0), (0, 2), (2, 0), (2, 2) are kept."""
    out = Subsample(extra=2, stride=2)(torch.arange(18.0).reshape(1, 2, 3, 3))
    zero = [[0.0, 0.0], [0.0, 0.0]]
    assert out.tolist() == [[zero, [[0, 2], [6, 8]], [[9, 11], [15, 17]], zero]]


def test_option_b_against_torchvision():
    torch.manual_seed(0)
    ours, theirs = Block(4, 8, 2, "B"), BasicBlock(4, 8, 2, Block(4, 8, 2, "B").shortcut)
    state = {k.replace("shortcut", "downsample"): v for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    maps = torch.randn(3, 4, 7, 6)
    assert torch.equal(ours(maps), theirs(maps))


def test_option_b_adds_a_convolution_and_batch_norm_between_stages():
    """16·32 + 32·64 weights, and a weight and a bias for each of 32 + 64 channels."""
    model = ResnetCifar(shape=(3, 32, 32), outputs=10, shortcut="B")
    shortcuts = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert sum(p.numel() for p in model.parameters()) == 269_722 + shortcuts


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 33, 17), (1, 1, 1)])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_images_of_any_size(shape, shortcut):
    model = ResnetCifar(shape=shape, outputs=7, depth=8, width=4, shortcut=shortcut)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_maps_are_halved_twice():
    model = ResnetCifar(shape=(3, 32, 32), outputs=10, depth=8)
    maps = model.stage3(model.stage2(model.stage1(torch.zeros(1, 16, 32, 32))))
    assert maps.shape == (1, 64, 8, 8)


def test_dropout_is_before_the_head():
    torch.manual_seed(0)
    model = ResnetCifar(shape=(1, 8, 8), outputs=3, depth=8, width=4, dropout=0.5)
    features = []
    model.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    images = torch.randn(4, 1, 8, 8)
    model(images), model.eval()(images)
    assert (features[0] == 0).float().mean() > (features[1] == 0).float().mean()


@pytest.mark.parametrize(
    ("setting", "value"), [("depth", 18), ("depth", 2), ("width", 0), ("dropout", 1.0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=rf"model\.{setting} must be .* {value}$"):
        ResnetCifar(shape=(3, 32, 32), outputs=10, **{setting: value})
