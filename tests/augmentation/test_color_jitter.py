"""Colour jitter with factors and an order per image."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from trainer.augmentation.color_jitter import ColorJitter, jitter
from trainer.core.errors import ConfigError
from trainer.dataset.base import Pixels

NONE = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def one_by_one(image: Tensor, factors: list[float], order: list[int], early: int, turn: float):
    """torchvision's four kernels, hue after `early` of the others."""
    kernels = [reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation]
    steps = [(kernels[kind], factors[kind]) for kind in order]
    steps.insert(early, (reference.adjust_hue, turn))
    for kernel, factor in steps:
        image = kernel(image, factor)
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchvision_image_by_image(channels: int, pictures, draws) -> None:
    images, numbers = pictures(96, channels), draws(96)
    got = ColorJitter(hue=0.4)(images, draws(96))
    factors = torch.stack([numbers.uniform(0.6, 1.4) for _ in range(3)], 1)
    order, early = numbers.uniforms(3).argsort(1), numbers.integer(0, 4)
    turns = numbers.uniform(-0.4, 0.4) if channels == 3 else torch.zeros(96)
    for row, image in enumerate(images):
        parameters = factors[row].tolist(), order[row].tolist(), int(early[row]), float(turns[row])
        torch.testing.assert_close(got[row], one_by_one(image, *parameters), atol=1e-5, rtol=0)


def test_every_order_of_the_four_is_equally_likely(draws) -> None:
    numbers = draws(24_000)
    order, early = numbers.uniforms(3).argsort(1), numbers.integer(0, 4)
    counts = (order[:, 0] * 3 + order[:, 1]).mul(4).add(early).bincount()
    assert len(counts[counts > 0]) == 24
    assert counts[counts > 0].min() > 850  # 1000 expected, deviation 31


def test_a_pixel_by_hand_in_two_orders() -> None:
    """(0.8, 0.4, 0.2): brightness 1.5 clips red before or after a hue rotation by a third."""
    pixel = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
    factors, order = torch.tensor([[1.5, 1, 1]] * 2), torch.tensor([[0, 1, 2]] * 2)
    got = jitter(pixel, factors, order, torch.tensor([1 / 3, 1 / 3]), torch.tensor([0, 3]))
    assert got[0].flatten().tolist() == pytest.approx([0.3, 1.0, 0.6])
    assert got[1].flatten().tolist() == pytest.approx([0.3, 1.0, 0.6])
    factors = torch.tensor([[0.5, 1, 0]] * 2)  # to grey before or after
    got = jitter(pixel, factors, order, torch.tensor([1 / 3, 1 / 3]), torch.tensor([0, 3]))
    grey = 0.5 * torch.tensor([0.2989 * 0.2 + 0.587 * 0.8 + 0.114 * 0.4, 0.49672])
    torch.testing.assert_close(got[:, :, 0, 0], grey[:, None].expand(2, 3))


def test_factors_of_1_leave_every_bit_unchanged(pictures, draws) -> None:
    assert torch.equal(ColorJitter(**NONE)(pictures(), draws()), pictures())


@pytest.mark.parametrize("setting", ["brightness", "contrast", "saturation", "hue"])
def test_each_setting_has_an_effect_on_its_own(setting: str, pictures, draws) -> None:
    got = ColorJitter(**{**NONE, setting: 0.3})(pictures(), draws())
    assert ((got - pictures()).abs().amax((1, 2, 3)) > 1e-3).float().mean() > 0.9


def test_a_number_is_a_range_around_1_cut_off_at_0(draws) -> None:
    factors = ColorJitter(brightness=1.5, contrast=(0.2, 0.4)).factors
    assert factors == ((0.0, 2.5), (0.2, 0.4), (0.6, 1.4))


def test_other_numbers_of_channels_are_refused(noise) -> None:
    split = noise(shape=(4, 5, 5))
    with pytest.raises(ConfigError, match="needs grey or RGB images, got 4 channels"):
        ColorJitter().prepare(split)
    ColorJitter().prepare(replace(split, images=Pixels(split.images.pixels[:, :3])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"brightness": -0.1}, r"brightness must be in \[0, inf\), got -0.1"),
        ({"contrast": (0.5, -0.2)}, r"contrast must be in \[0, inf\)"),
        ({"hue": 0.6}, r"hue must be in \[0, 0.5\], got 0.6"),
        ({"hue": (0.3, 0.1)}, r"hue must be \[low,high\]"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.color_jitter\." + message):
        ColorJitter(**settings)
