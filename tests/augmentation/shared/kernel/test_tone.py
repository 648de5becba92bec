"""The batched tone kernels equal torchvision's for each image, with its own parameter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from trainer.augmentation.shared.kernel import tone


@pytest.fixture(params=[3, 1], ids=["rgb", "grey"])
def bytes_of(request) -> Tensor:
    """Images uint8 [256, C, 9, 11], some with a narrow range and one constant."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (256, request.param, 9, 11), generator=rng, dtype=torch.uint8)
    images[:40] //= 5
    images[20:60] = images[20:60].clamp(100, 130)
    images[7] = 93
    return images


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(bytes_of: Tensor, bits: int) -> None:
    got = tone.posterize(bytes_of / 255, torch.full((256,), float(bits)))
    assert torch.equal((got * 255).round().byte(), reference.posterize(bytes_of, bits))
    torch.testing.assert_close(got * 255, (got * 255).round())


def test_posterize_by_hand() -> None:
    """201 is 11001001 in binary: two bits give 192, five give 200, none gives 0."""
    got = tone.posterize(torch.full((3, 1, 1, 1), 201 / 255), torch.tensor([2.0, 5.0, 0.0]))
    torch.testing.assert_close(got.flatten(), torch.tensor([192.0, 200.0, 0.0]) / 255)


def test_solarize_has_one_threshold_per_image(bytes_of: Tensor) -> None:
    got = tone.solarize(bytes_of / 255, torch.arange(256.0))
    for row in range(256):
        expected = reference.solarize(bytes_of[row], float(row))
        torch.testing.assert_close(got[row], expected / 255, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["equalize", "autocontrast", "invert"])
def test_equals_torchvision_on_the_bytes(bytes_of: Tensor, name: str) -> None:
    got = getattr(tone, name)(bytes_of / 255)
    expected = getattr(reference, name)(bytes_of) / 255
    off = 1 / 255 if name == "autocontrast" else 0.0  # torchvision rounds down
    torch.testing.assert_close(got, expected, atol=off + 1e-6, rtol=0)


def test_equalize_by_hand() -> None:
    """510 pixels: the step is (510 − 255) // 255 = 1; one channel has 17 below its maximum."""
    image = torch.full((1, 1, 17, 30), 200 / 255)
    image.view(-1)[:255] = torch.arange(255) % 15 * 10 / 255
    got = (tone.equalize(image).view(-1)[:255] * 255).round()
    assert got[:15].tolist() == [17 * i for i in range(15)]
    assert (tone.equalize(image).view(-1)[255:] == 1).all()


def test_pixels_between_two_levels_are_rounded_to_the_nearest() -> None:
    values = torch.tensor([127.4, 127.6])[:, None, None, None] / 255
    got = tone.posterize(values, torch.tensor([1.0, 1.0])) * 255
    assert got.flatten().round().tolist() == [0, 128]
    got = tone.solarize(values, torch.tensor([128.0, 128.0])) * 255
    torch.testing.assert_close(got.flatten(), torch.tensor([127.4, 127.4]))


def test_pixels_slightly_out_of_range_are_clipped() -> None:
    image = torch.linspace(-0.01, 1.01, 1024).view(1, 1, 32, 32)
    got = tone.equalize(image)
    assert got.min() == 0
    assert got.max() == 1


@pytest.mark.parametrize("name", ["autocontrast", "invert"])
def test_equals_torchvision_on_floats(pictures: Callable[..., Tensor], name: str) -> None:
    images = pictures()
    images[3] = 0.4
    torch.testing.assert_close(getattr(tone, name)(images), getattr(reference, name)(images))


@pytest.mark.parametrize("shape", [(3, 12, 15), (1, 3, 5), (3, 2, 9)])
def test_sharpness_has_one_factor_per_image(pictures: Callable[..., Tensor], shape) -> None:
    images, factor = pictures(40, *shape), torch.linspace(0, 2, 40)
    got = tone.sharpness(images, factor)
    for row in range(40):
        expected = reference.adjust_sharpness(images[row], factor[row].item())
        torch.testing.assert_close(got[row], expected, atol=1e-6, rtol=1e-5)
    rounded = reference.adjust_sharpness((images * 255).round().byte()[20:21], factor[20].item())
    torch.testing.assert_close(got[20:21], rounded / 255, atol=2 / 255, rtol=0)


@pytest.mark.parametrize("name", ["autocontrast", "equalize", "invert", "sharpness"])
def test_images_are_not_changed_in_place(pictures: Callable[..., Tensor], name: str) -> None:
    images = pictures()
    before = images.clone()
    getattr(tone, name)(images, *[torch.ones(40)] * (name == "sharpness"))
    assert torch.equal(images, before)
