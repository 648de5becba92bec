"""Horizontal flip, decided per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from trainer.augmentation.horizontal_flip import HorizontalFlip


def test_equals_torchvision_image_by_image(pictures, draws) -> None:
    images, which = pictures(), draws().chance(0.5)
    got = HorizontalFlip()(images, draws())
    for row, image in enumerate(images):
        assert torch.equal(got[row], reference.horizontal_flip(image) if which[row] else image)
    assert 10 < which.sum() < 30


def test_by_hand(draws) -> None:
    image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[None, None]
    got = HorizontalFlip(p=1.0)(image, draws(1))
    assert got[0, 0].tolist() == [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]


def test_p_is_the_fraction_of_mirrored_images(draws) -> None:
    images = torch.tensor([0.0, 1.0]).expand(5000, 1, 1, 2)
    for p in (0.0, 0.2, 1.0):
        mirrored = HorizontalFlip(p=p)(images, draws(5000))[:, 0, 0, 0]
        assert mirrored.mean().item() == pytest.approx(p, abs=0.025)  # deviation 0.006


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_bad_p_is_named(p: float) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.horizontal_flip\.p must be in \[0, 1\]"):
        HorizontalFlip(p=p)
