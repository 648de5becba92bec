"""Vertical flip, decided per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from trainer.augmentation.vertical_flip import VerticalFlip


def test_equals_torchvision_image_by_image(pictures, draws) -> None:
    images, which = pictures(), draws().chance(0.5)
    got = VerticalFlip()(images, draws())
    for row, image in enumerate(images):
        assert torch.equal(got[row], reference.vertical_flip(image) if which[row] else image)
    assert 10 < which.sum() < 30


def test_by_hand(draws) -> None:
    image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[None, None]
    got = VerticalFlip(p=1.0)(image, draws(1))
    assert got[0, 0].tolist() == [[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]]


def test_p_is_the_fraction_of_mirrored_images(draws) -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1).expand(5000, 1, 2, 1)
    for p in (0.0, 0.2, 1.0):
        mirrored = VerticalFlip(p=p)(images, draws(5000))[:, 0, 0, 0]
        assert mirrored.mean().item() == pytest.approx(p, abs=0.025)  # deviation 0.006


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_bad_p_is_named(p: float) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.vertical_flip\.p must be in \[0, 1\]"):
        VerticalFlip(p=p)
