"""Blur with one standard deviation per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from trainer.augmentation.gaussian_blur import GaussianBlur
from trainer.core.errors import ConfigError


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_equals_torchvision_image_by_image(kernel_size: int, pictures, draws) -> None:
    images, sigma = pictures(), draws().uniform(0.1, 2.0)
    got = GaussianBlur(kernel_size=kernel_size)(images, draws())
    for row, image in enumerate(images):
        want = reference.gaussian_blur(image, [kernel_size] * 2, [float(sigma[row])])
        torch.testing.assert_close(got[row], want, atol=1e-6, rtol=0)


def test_by_hand(draws) -> None:
    """σ = 1, 3 pixels: the weight of the pixel itself is 1 / (1 + 2 e^(−1/2)) = 0.4518628."""
    image = torch.tensor([0.0, 1.0, 0.0]).expand(1, 1, 3, 3)
    got = GaussianBlur(kernel_size=3, sigma=1.0)(image, draws(1))
    assert got[0, 0, 1].tolist() == pytest.approx([0.5481372, 0.4518628, 0.5481372])  # mirrored


def test_images_too_small_to_mirror_are_an_error(noise) -> None:
    GaussianBlur(kernel_size=9).prepare(noise(shape=(1, 6, 5)))
    message = r"gaussian_blur\.kernel_size=11 is too large for images of 6×5; use at most 9"
    with pytest.raises(ConfigError, match=message):
        GaussianBlur(kernel_size=11).prepare(noise(shape=(1, 6, 5)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"kernel_size": -1}, "kernel_size must be in"),
        ({"sigma": 0.0}, r"sigma must be in \(0, inf\)"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.gaussian_blur\." + message):
        GaussianBlur(**settings)
