"""Shifts by whole pixels, one per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from trainer.augmentation.shift import Shift


@pytest.mark.parametrize("fraction", [0.1, 0.3, 1.0])
def test_equals_torchvision_image_by_image(fraction: float, pictures, draws) -> None:
    images, shift = pictures(), Shift(fraction=fraction)
    down, right = shift.draw(draws(), (12, 15))
    got = shift(images, draws())
    for row, image in enumerate(images):
        moved = [float(right[row]), float(down[row])]
        want = reference.affine(image, 0.0, moved, 1.0, [0.0, 0.0])  # nearest: exact
        assert torch.equal(got[row], want)


def test_by_hand() -> None:
    """Down by 1 and left by 2."""
    image = torch.arange(1.0, 13).view(1, 1, 3, 4)
    moved = (torch.tensor([1]), torch.tensor([-2]))
    got = Shift(fraction=0.5).move(image, moved, nearest=False, fill=0.0)
    assert got[0, 0].tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]


def test_shifts_have_the_distribution_of_torchvision(draws) -> None:
    """round(uniform(−m, m)): a side of 16 and a fraction of 0.1 give ±1.6, rounded to ±2."""
    down, right = Shift(fraction=0.1).draw(draws(20_000), (16, 24))
    assert (down.unique().tolist(), right.unique().tolist()) == ([-2, -1, 0, 1, 2], [*range(-2, 3)])
    shares = [(down == pixels).float().mean().item() for pixels in range(-2, 3)]
    assert shares == pytest.approx([0.1 / 3.2, 1 / 3.2, 1 / 3.2, 1 / 3.2, 0.1 / 3.2], abs=0.015)


def test_a_shift_never_leaves_the_padding() -> None:
    """0.575 of 100 is 57.49999999999999 in float64 and 57.5, rounded to 58, in float32."""
    image = torch.ones(1, 1, 100, 100)
    moved = torch.tensor([58]), torch.tensor([-58])
    assert Shift(fraction=0.575).move(image, moved, nearest=False, fill=0.0).sum() == 42 * 42


def test_bad_fraction_is_named() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.shift\.fraction must be in \(0, 1\]"):
        Shift(fraction=0)
