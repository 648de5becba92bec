"""The batched colour kernels equal torchvision's for each image, with its own factor."""

from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from trainer.augmentation.shared.kernel import colour

PAIRS = {
    "brightness": (colour.brightness, reference.adjust_brightness),
    "contrast": (colour.contrast, reference.adjust_contrast),
    "saturation": (colour.saturation, reference.adjust_saturation),
    "hue": (colour.hue, reference.adjust_hue),
}


def pictures(channels: int) -> Tensor:
    """Images [60, C, 7, 9]: noise, constant colours, and values 0 and 1, which have ties."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(20, channels, 7, 9, generator=rng)
    flat = torch.rand(20, channels, 1, 1, generator=rng).expand(-1, -1, 7, 9)
    return torch.cat(
        [noise, flat, torch.rand(20, channels, 7, 9, generator=rng).mul(3).round() / 3]
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_torchvision_image_by_image(name: str, channels: int) -> None:
    ours, theirs = PAIRS[name]
    images = pictures(channels)
    factors = torch.linspace(-0.5, 0.5, 60) if name == "hue" else torch.linspace(0, 2.5, 60)
    got = ours(images, factors)
    want = torch.stack([theirs(x, float(f)) for x, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(got, want, atol=3e-6, rtol=0)


def test_one_pixel_by_hand() -> None:
    """(0.8, 0.4, 0.2): grey 0.2989·0.8 + 0.587·0.4 + 0.114·0.2 = 0.49672; hue 20°."""
    pixel = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1)

    def values(got: Tensor) -> list[float]:
        return got.flatten().tolist()

    half = torch.tensor([0.5])
    assert colour.grey(pixel).item() == pytest.approx(0.49672)
    assert values(colour.brightness(pixel, half)) == pytest.approx([0.4, 0.2, 0.1])
    assert values(colour.brightness(pixel, 4 * half)) == pytest.approx([1.0, 0.8, 0.4])
    assert values(colour.saturation(pixel, half)) == pytest.approx([0.64836, 0.44836, 0.34836])
    assert values(colour.contrast(pixel, half)) == pytest.approx([0.64836, 0.44836, 0.34836])
    third = torch.tensor([1 / 3])  # red to green, green to blue, blue to red
    assert values(colour.hue(pixel, third)) == pytest.approx([0.2, 0.8, 0.4])
    assert values(colour.hue(pixel, half)) == pytest.approx([0.2, 0.6, 0.8])


@pytest.mark.parametrize("adjust", [colour.brightness, colour.contrast, colour.saturation])
def test_a_factor_of_1_leaves_every_bit_unchanged(
    adjust: Callable[[Tensor, Tensor], Tensor],
) -> None:
    images = pictures(3)
    assert torch.equal(adjust(images, torch.ones(60)), images)


def test_saturation_and_hue_leave_grey_images_unchanged() -> None:
    images = pictures(1)
    assert colour.saturation(images, torch.zeros(60)) is images
    assert colour.hue(images, torch.full((60,), 0.3)) is images
    assert colour.grey(images) is images


@pytest.mark.parametrize("name", PAIRS)
def test_images_are_not_changed_in_place(name: str) -> None:
    images = pictures(3)
    before = images.clone()
    PAIRS[name][0](images, torch.full((60,), 0.3))
    assert torch.equal(images, before)
