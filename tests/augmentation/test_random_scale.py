"""Zoom with one factor per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.random_scale import RandomScale


def test_equals_torchvision_image_by_image(pictures, draws) -> None:
    images, scale = pictures(), RandomScale(scale=(0.5, 1.8))
    factors, got = scale.draw(draws(), (12, 15)), scale(images, draws())
    for row, image in enumerate(images):
        factor, mode = float(factors[row]), InterpolationMode.BILINEAR
        want = reference.affine(image, 0.0, [0.0, 0.0], factor, [0.0, 0.0], mode)
        torch.testing.assert_close(got[row], want, atol=1e-4, rtol=0)


def test_by_hand() -> None:
    """At twice the size, sources are 0.75, 1.25, 1.75, 2.25; at half, −1.5, 0.5, 2.5, 4.5."""
    image = torch.tensor([0.0, 4.0, 8.0, 12.0]).expand(2, 1, 4, 4)
    got = RandomScale().move(image, torch.tensor([2.0, 0.5]), nearest=False, fill=0.0)
    assert got[0, 0, 1].tolist() == pytest.approx([3.0, 5.0, 7.0, 9.0])
    assert got[1, 0, 1].tolist() == pytest.approx([0.0, 2.0, 10.0, 0.0])
    assert got[1, 0, 0].tolist() == pytest.approx([0.0] * 4)


def test_factors_are_in_range(draws) -> None:
    factors = RandomScale(scale=(0.5, 1.5)).draw(draws(2000), (8, 8))
    assert factors.min().item() == pytest.approx(0.5, abs=0.01)
    assert factors.max().item() == pytest.approx(1.5, abs=0.01)


def test_bad_scale_is_named() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.random_scale\.scale must be in \(0, inf"):
        RandomScale(scale=(0.0, 1.0))
