"""Every operation equals torchvision's at every magnitude."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import TrivialAugmentWide, _apply_op

from trainer.augmentation.shared.operation import MOVES, OPERATIONS, SIGNED, operate

BYTES = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
SPACE = TrivialAugmentWide()._augmentation_space(31)


def picture(channels: int = 3) -> Tensor:
    """A gradient with noise, uint8 [C, 17, 13]; odd sides keep sources off pixel borders."""
    rng = torch.Generator().manual_seed(0)
    row, column = torch.arange(17)[:, None] * 7, torch.arange(13) * 5
    smooth = row + column + torch.arange(channels)[:, None, None] * 20
    return (smooth + torch.randint(0, 40, smooth.shape, generator=rng)).byte()


def values_of(name: str) -> Tensor:
    """The largest range of magnitudes in any policy, with both signs."""
    values = SPACE[name][0].float().reshape(-1) if name != "Invert" else torch.zeros(1)
    return torch.cat([values, -values]) if name in SIGNED else values


def ours(image: Tensor, name: str, values: Tensor, *, nearest: bool = True, fill: float = 0.0):
    images = (image / 255).expand(len(values), *image.shape)
    operation = torch.full((len(values),), OPERATIONS.index(name))
    return operate(images, operation, values, nearest=nearest, fill=fill)


def theirs(image: Tensor, name: str, value: float, mode: str = "NEAREST", fill=None) -> Tensor:
    fill = None if fill is None else [fill] * len(image)
    return _apply_op(image, name, value, InterpolationMode[mode], fill)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", BYTES)
def test_bytes(name: str, channels: int) -> None:
    """Equal within one level: torchvision rounds down after autocontrast."""
    image, values = picture(channels), values_of(name)
    for got, value in zip(ours(image, name, values), values.tolist(), strict=True):
        expected = theirs(image, name, value) / 255
        torch.testing.assert_close(got, expected, atol=1.001 / 255, rtol=0)
        if name != "AutoContrast":
            torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", ["Brightness", "Color", "Contrast", "Sharpness", "Identity"])
def test_factors(name: str, channels: int) -> None:
    """Equal on floats; on bytes torchvision also rounds the grey image or the blur down."""
    image, values = picture(channels), values_of(name)
    for got, value in zip(ours(image, name, values), values.tolist(), strict=True):
        torch.testing.assert_close(got, theirs(image / 255, name, value), atol=2e-6, rtol=0)
        rounded = theirs(image, name, value) / 255
        torch.testing.assert_close(got, rounded, atol=2 / 255, rtol=0)


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("mode", ["NEAREST", "BILINEAR"])
def test_moves(name: str, mode: str) -> None:
    image, values = picture(), values_of(name)
    got = ours(image, name, values, nearest=mode == "NEAREST")
    expected = [theirs(image / 255, name, value, mode) for value in values.tolist()]
    torch.testing.assert_close(got, torch.stack(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["ShearX", "Rotate", "TranslateY"])
def test_pixels_from_outside_have_the_fill(name: str) -> None:
    image, values = picture(), values_of(name)
    got = ours(image, name, values, fill=0.5)
    expected = [theirs(image / 255, name, value, fill=0.5) for value in values.tolist()]
    torch.testing.assert_close(got, torch.stack(expected), atol=1e-4, rtol=0)


def test_by_hand() -> None:
    """Two pixels right, one down; brighter by 0.9; level 51 is solarized at 51, level 50 is not."""
    image = torch.zeros(1, 5, 5)
    image[0, 2, 2] = 0.2
    names = ["TranslateX", "TranslateY", "Brightness", "Solarize", "Solarize"]
    values = torch.tensor([2.9, -1.2, 0.9, 51.0, 52.0])
    operation = torch.tensor([OPERATIONS.index(name) for name in names])
    got = operate(image.expand(5, 1, 5, 5), operation, values, nearest=True, fill=0.0)
    assert got[0].nonzero().tolist() == [[0, 2, 4]]
    assert got[1].nonzero().tolist() == [[0, 1, 2]]
    assert got[2, 0, 2, 2].item() == pytest.approx(0.38)
    assert got[3, 0, 2, 2].item() == pytest.approx(0.8)
    assert got[4, 0, 2, 2].item() == pytest.approx(0.2)


def test_a_rotation_is_anticlockwise_and_a_shear_keeps_the_top_row() -> None:
    image = torch.zeros(2, 1, 9, 9)
    image[0, 0, 4, 8] = 1  # three o'clock
    image[1] = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(0))
    operation = torch.tensor([OPERATIONS.index("Rotate"), OPERATIONS.index("ShearX")])
    got = operate(image, operation, torch.tensor([90.0, 0.3]), nearest=True, fill=0.0)
    assert got[0].nonzero().tolist() == [[0, 0, 4]]  # twelve o'clock
    assert torch.equal(got[1, 0, 0], image[1, 0, 0])
    assert not torch.equal(got[1, 0, 8], image[1, 0, 8])


@pytest.mark.parametrize("nearest", [True, False])
def test_a_mixed_batch_equals_its_images_one_by_one(pictures, nearest: bool) -> None:
    """Sorting by operation preserves the order, and no image is changed in place."""
    rng = torch.Generator().manual_seed(1)
    images = pictures(60, 3, 9, 8)
    before = images.clone()
    operation = torch.randint(0, len(OPERATIONS), (60,), generator=rng)
    magnitude = torch.rand(60, generator=rng)
    got = operate(images, operation, magnitude, nearest=nearest, fill=0.3)
    for row in range(60):
        at = slice(row, row + 1)
        own = operate(images[at], operation[at], magnitude[at], nearest=nearest, fill=0.3)
        torch.testing.assert_close(got[at], own)
    assert torch.equal(images, before)
