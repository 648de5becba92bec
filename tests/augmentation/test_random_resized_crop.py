"""A box of random area and aspect ratio per image, resized to the full size."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.random_resized_crop import RandomResizedCrop

CROP = RandomResizedCrop()


@pytest.mark.parametrize("antialias", [True, False])
def test_equals_torchvision_image_by_image(pictures, draws, *, antialias: bool) -> None:
    """With and without antialiasing: a box is never larger than the image."""
    images, got = pictures(), CROP(pictures(), draws())
    boxes = torch.stack(CROP.draw(draws(), (12, 15)), 1).tolist()
    assert len({tuple(box) for box in boxes}) > 30
    for row, image in enumerate(images):
        want = reference.resized_crop(image, *boxes[row], size=[12, 15], antialias=antialias)
        torch.testing.assert_close(got[row], want, atol=1e-5, rtol=0)


def test_masks_equal_torchvision_nearest_exact(pictures, draws) -> None:
    images, boxes = pictures(), CROP.draw(draws(), (12, 15))
    got = CROP.move(images, boxes, nearest=True, fill=0.0)
    for row, image in enumerate(images):
        box, mode = [int(side[row]) for side in boxes], InterpolationMode.NEAREST_EXACT
        want = reference.resized_crop(image, *box, size=[12, 15], interpolation=mode)
        assert torch.equal(got[row], want)


def test_by_hand() -> None:
    """Columns 1 and 2 of 4, resized to 4: sources 0.75, 1.25, 1.75, 2.25, clamped to 1 and 2."""
    image = torch.tensor([0.0, 4.0, 8.0, 12.0]).expand(1, 1, 4, 4)
    box = tuple(torch.tensor([side]) for side in (0, 1, 4, 2))
    got = CROP.move(image, box, nearest=False, fill=0.0)  # pyright: ignore
    assert got[0, 0, 2].tolist() == pytest.approx([4.0, 5.0, 7.0, 8.0])


def test_boxes_have_the_distribution_of_torchvision(draws) -> None:
    """Mean area, aspect ratio and position of 3000 boxes of each."""
    torch.manual_seed(0)
    image, theirs = torch.zeros(3, 24, 20), v2.RandomResizedCrop((24, 20))
    want = torch.tensor(
        [
            [box[side] for side in ("top", "left", "height", "width")]
            for box in (theirs.make_params([image]) for _ in range(3000))
        ]
    ).float()
    got = torch.stack(CROP.draw(draws(3000), (24, 20)), 1).float()
    for boxes in (got, want):
        assert (boxes[:, 0] + boxes[:, 2]).max() <= 24
        assert (boxes[:, 1] + boxes[:, 3]).max() <= 20
    difference = (got.mean(0) - want.mean(0)).abs() / want.std(0)
    assert difference.max() < 0.08  # its standard deviation is √(2 / 3000) = 0.026
    ratios = (got[:, 3] / got[:, 2]).log().mean() - (want[:, 3] / want[:, 2]).log().mean()
    assert ratios.abs() < 0.02


@pytest.mark.parametrize("size", [(4, 40), (40, 4)])
def test_if_no_box_fits_the_central_one_equals_torchvision(size, draws) -> None:
    """A square of the full area does not fit into an image ten times as long as wide."""
    boxes = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0)).draw(draws(), size)
    theirs = v2.RandomResizedCrop(size, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    box = theirs.make_params([torch.zeros(3, *size)])
    want = [box[side] for side in ("top", "left", "height", "width")]
    assert want == ([0, 18, 4, 4] if size == (4, 40) else [18, 0, 4, 4])
    assert torch.stack(boxes, 1).tolist() == [want] * 40


def test_a_box_of_the_whole_image_changes_nothing(pictures, draws) -> None:
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.25, 1.25))
    torch.testing.assert_close(crop(pictures(), draws()), pictures(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": (0.0, 1.0)}, r"scale must be in \(0, 1\]"),
        ({"scale": (0.9, 0.5)}, r"scale must be \[low,high\]"),
        ({"ratio": (-1.0, 1.0)}, r"ratio must be in \(0, inf\)"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.random_resized_crop\." + message):
        RandomResizedCrop(**settings)


def test_another_size_is_torchvisions_on_the_larger_image(draws) -> None:
    """As in published recipes: pieces of a stored photograph, smaller or larger than the result."""
    stored = torch.randint(0, 256, (40, 3, 61, 70), dtype=torch.uint8)
    crop = RandomResizedCrop(scale=(0.02, 1.0), size=[20, 24])
    got = crop(stored.float() / 255, draws())
    boxes = torch.stack(crop.draw(draws(), (61, 70)), 1).tolist()
    assert {height > 20 for _, _, height, _ in boxes} == {True, False}
    for row, image in enumerate(stored):
        want = reference.resized_crop(image, *boxes[row], size=[20, 24], antialias=True)
        assert (got[row] * 255 - want).abs().max() < 1.01  # torchvision rounds twice
    edges = torch.tensor([[[0.0, 0.0, 70.0, 61.0]]]).expand(40, 1, 4)
    moved = crop.move_boxes(edges, crop.draw(draws(), (61, 70)), (61, 70))
    assert torch.allclose(
        (moved[:, 0, 2] - moved[:, 0, 0]) * torch.tensor(boxes)[:, 3], torch.tensor(70 * 24.0)
    )
    with pytest.raises(ValueError, match=r"random_resized_crop\.size must be null, a side or"):
        RandomResizedCrop(size=[1, 2, 3])
