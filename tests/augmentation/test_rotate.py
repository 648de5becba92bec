"""Rotation with one angle per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.rotate import Rotate


@pytest.mark.parametrize("degrees", [15.0, (20.0, 160.0)])
def test_equals_torchvision_image_by_image(degrees, pictures, draws) -> None:
    images, rotate = pictures(), Rotate(degrees=degrees)
    angles, got = rotate.draw(draws(), (12, 15)), rotate(images, draws())
    for row, image in enumerate(images):
        want = reference.rotate(image, float(angles[row]), InterpolationMode.BILINEAR)
        torch.testing.assert_close(got[row], want, atol=1e-4, rtol=0)


def test_a_quarter_turn_by_hand() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    got = Rotate().move(image, torch.tensor([90.0]), nearest=False, fill=0.0)
    torch.testing.assert_close(got[0, 0], torch.tensor([[2.0, 4.0], [1.0, 3.0]]))  # anticlockwise


def test_a_number_is_a_range_in_both_directions(draws) -> None:
    angles = Rotate(degrees=30).draw(draws(4000), (8, 8))
    assert angles.min().item() == pytest.approx(-30, abs=0.1)
    assert angles.max().item() == pytest.approx(30, abs=0.1)
    angles = Rotate(degrees=(5.0, 7.0)).draw(draws(4000), (8, 8))
    assert (angles.min() >= 5, angles.max() <= 7) == (True, True)


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        (-3.0, r"must be in \[0, 360\], got -3.0"),
        ((-400.0, 0.0), r"must be in \[-360, 360\]"),
        ((9.0, 2.0), r"must be \[low,high\], got \[9.0,2.0\]"),
    ],
)
def test_bad_degrees_are_named(degrees, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.rotate\.degrees " + message):
        Rotate(degrees=degrees)
