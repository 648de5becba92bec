"""Affine maps, one per image."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.affine import Affine

WIDE = Affine(degrees=170, translate=(0.3, 0.2), scale=(0.6, 1.5), shear=(-20.0, 20.0, -9.0, 9.0))


def test_equals_torchvision_image_by_image(pictures, draws) -> None:
    images, got = pictures(), WIDE(pictures(), draws())
    numbers = draws()
    right = (numbers.uniform(-1, 1) * 0.3 * 15).round()
    down = (numbers.uniform(-1, 1) * 0.2 * 12).round()
    angle, scale = numbers.uniform(-170, 170), numbers.uniform(0.6, 1.5)
    shear = torch.stack([numbers.uniform(-20, 20), numbers.uniform(-9, 9)], 1)
    for row, image in enumerate(images):
        want = reference.affine(
            image,
            float(angle[row]),
            [float(right[row]), float(down[row])],
            float(scale[row]),
            shear[row].tolist(),
            InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(got[row], want, atol=1e-4, rtol=0)


def test_a_matrix_by_hand(draws) -> None:
    """A shear of 45° along x: x comes from x + y (torchvision's sign)."""
    affine = Affine(degrees=0, translate=(0, 0), scale=1.0, shear=(45.0, 45.0))
    assert affine.draw(draws(1), (8, 8))[0].flatten().tolist() == pytest.approx([1, 1, 0, 0, 1, 0])


def test_shear_along_x_or_along_both_axes(draws) -> None:
    """Without rotation, −b and c of the inverse are the tangents of the shears, to first order."""
    for shear, along_y in ((5.0, False), ((-5.0, 5.0), False), ((-5.0, 5.0, -5.0, 5.0), True)):
        affine = Affine(degrees=0, translate=(0, 0), scale=1.0, shear=shear)
        matrices = affine.draw(draws(2000), (8, 8))
        most = math.tan(math.radians(5))
        assert matrices[:, 0, 1].abs().max().item() == pytest.approx(most, abs=0.001)
        assert matrices[:, 1, 0].abs().max().item() == pytest.approx(most * along_y, abs=0.001)


def test_translations_are_whole_pixels(draws) -> None:
    affine = Affine(degrees=0, translate=(0.2, 0.1), scale=1.0)
    moved = affine.draw(draws(2000), (20, 20))[:, :, 2]
    assert moved[:, 0].unique().tolist() == [*range(-4, 5)]
    assert moved[:, 1].unique().tolist() == [*range(-2, 3)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"degrees": -1.0}, r"degrees must be in \[0, 360\], got -1.0"),
        ({"translate": (0.0, 1.5)}, r"translate must be in \[0, 1\]"),
        ({"scale": 0.0}, r"scale must be in \(0, inf\)"),
        ({"shear": 90.0}, r"shear must be in \[0, 90\), got 90.0"),
        ({"shear": (0.0, 5.0, 5.0, 0.0)}, r"shear must be \[low,high\], got \[5.0,0.0\]"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.affine\." + message):
        Affine(**settings)
