"""Large scale jitter with a factor and a position per image."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as reference
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.scale_jitter import ScaleJitter

JITTER = ScaleJitter()
SIZE = (12, 15)


def framed(image: Tensor, frame: list[int], mode: InterpolationMode, fill: float) -> Tensor:
    """torchvision's resize, placed on a large canvas at top and left, then cropped."""
    top, left, height, width = frame
    resized = reference.resize(image, [height, width], mode, antialias=True)
    canvas = F.pad(resized, [40] * 4, value=fill)
    return reference.crop(canvas, 40 - top, 40 - left, *SIZE)


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_equals_torchvision_image_by_image(pictures, draws, fill: float) -> None:
    images, frames = pictures(), JITTER.draw(draws(), SIZE)
    got = JITTER.move(images, frames, nearest=False, fill=fill)
    for row, image in enumerate(images):
        frame = [int(side[row]) for side in frames]
        want = framed(image, frame, InterpolationMode.BILINEAR, fill)
        torch.testing.assert_close(got[row], want, atol=1e-5, rtol=0)


def test_masks_equal_torchvision_nearest_exact(pictures, draws) -> None:
    ids, frames = (pictures() * 20).floor(), JITTER.draw(draws(), SIZE)
    got = JITTER.move(ids, frames, nearest=True, fill=255)
    for row, image in enumerate(ids):
        frame = [int(side[row]) for side in frames]
        assert torch.equal(got[row], framed(image, frame, InterpolationMode.NEAREST_EXACT, 255))


def test_sizes_equal_torchvision_and_positions_are_random(draws) -> None:
    """int(12·s) and int(15·s); offsets of up to 12 rows to crop at s = 2, up to 6 to pad at 0.5."""
    factor = draws(3000).uniform(0.1, 2.0)
    top, left, height, width = JITTER.draw(draws(3000), SIZE)
    assert torch.equal(height, (12 * factor).long())
    assert torch.equal(width, (15 * factor).long())
    for start, resized, side in ((top, height, 12), (left, width, 15)):
        room = side - resized
        assert (start >= room.clamp(max=0)).all()
        assert (start <= room.clamp(min=0)).all()
    for scale, places in ((2.0, {*range(-12, 1)}), (0.5, {*range(7)})):
        assert {*ScaleJitter(scale_range=scale).draw(draws(1000), SIZE)[0].tolist()} == places


def test_an_image_never_vanishes(draws) -> None:
    _, _, height, width = ScaleJitter(scale_range=0.01).draw(draws(9), SIZE)
    assert (height.unique().tolist(), width.unique().tolist()) == ([1], [1])


def test_by_hand() -> None:
    """Half the size with antialiasing, at columns 1 and 2: (0.75·0 + 0.75·4 + 0.25·8) / 1.75."""
    image = torch.tensor([0.0, 4.0, 8.0, 12.0]).expand(1, 1, 4, 4)
    frame = tuple(torch.tensor([side]) for side in (1, 1, 2, 2))
    got = JITTER.move(image, frame, nearest=False, fill=0.0)  # pyright: ignore
    assert got[0, 0, 1].tolist() == pytest.approx([0, 5 / 1.75, 12 - 5 / 1.75, 0])
    assert got[0, 0, 0].tolist() == [0.0] * 4


def test_bad_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.scale_jitter\.scale_range must be in"):
        ScaleJitter(scale_range=(-1.0, 2.0))


def test_another_size_at_the_scale_at_which_the_image_fits(pictures, draws) -> None:
    images, jitter = pictures(), ScaleJitter(scale_range=(1.0, 1.0), size=[8, 20])
    got, (_, left, _, _) = jitter(images, draws()), jitter.draw(draws(), SIZE)
    want = reference.resize(images, [8, 10], antialias=True)
    for row, at in enumerate(left.tolist()):
        torch.testing.assert_close(got[row, :, :, at : at + 10], want[row], atol=1e-5, rtol=0)
    assert got.shape[-2:] == (8, 20)
