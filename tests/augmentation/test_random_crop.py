"""Padding and cropping at a random position per image."""

import pytest
import torch
import torchvision.transforms.functional as reference

from trainer.augmentation.random_crop import RandomCrop
from trainer.core.seed import ExampleRandom


def noise(images: int, channels: int, height: int, width: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(images, channels, height, width, generator=rng) + 0.1  # black only by padding


@pytest.mark.parametrize("padding", [1, 4, 9])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 12)])
def test_equals_torchvision_image_by_image(padding: int, shape: tuple[int, int, int]) -> None:
    images, positions = noise(40, *shape), torch.arange(100, 140)
    got = RandomCrop(padding=padding)(images, ExampleRandom(3, 2, positions))
    draws = ExampleRandom(3, 2, positions)
    tops = draws.integer(0, 2 * padding + 1)
    lefts = draws.integer(0, 2 * padding + 1)
    for row, image in enumerate(images):
        padded = reference.pad(image, [padding])
        cut = reference.crop(padded, int(tops[row]), int(lefts[row]), *shape[1:])
        assert torch.equal(got[row], cut)


def shifts(got: torch.Tensor, padding: int) -> list[tuple[int, int]]:
    """Displacement of the bright pixel of each image from the centre."""
    at = got[:, 0].flatten(1).argmax(1)
    side = got.shape[-1]
    return [(int(i) // side - padding, int(i) % side - padding) for i in at]


def test_every_image_has_its_own_shift_and_all_shifts_occur() -> None:
    """A pixel in the middle of 5×5 images shifts by −2 to 2 either way: 25 shifts, evenly."""
    images = torch.zeros(5000, 1, 5, 5)
    images[:, 0, 2, 2] = 1
    moved = shifts(RandomCrop(padding=2)(images, ExampleRandom(0, 0, torch.arange(5000))), 2)
    counts = [moved.count((y, x)) for y in range(-2, 3) for x in range(-2, 3)]
    assert sum(counts) == 5000
    assert min(counts) > 140  # 200 expected, deviation 14
    assert max(counts) < 260


def test_pixels_from_outside_are_black() -> None:
    got = RandomCrop(padding=3)(torch.ones(200, 1, 4, 4), ExampleRandom(0, 0, torch.arange(200)))
    kept = got.sum((1, 2, 3))
    assert set(got.unique().tolist()) == {0.0, 1.0}
    assert kept.min() == 1  # shifted by 3 both ways, one pixel stays
    assert kept.max() == 16


def test_repeats_and_epochs_have_their_own_crops() -> None:
    image = noise(1, 1, 8, 8).expand(50, -1, -1, -1)
    here = RandomCrop()(image, ExampleRandom(0, 0, torch.arange(50)))
    assert len({row.numpy().tobytes() for row in here}) > 30
    later = RandomCrop()(image, ExampleRandom(0, 1, torch.arange(50)))
    assert not torch.equal(here, later)


def test_images_are_not_changed_in_place() -> None:
    images = noise(4, 1, 5, 5)
    before = images.clone()
    RandomCrop()(images, ExampleRandom(0, 0, torch.arange(4)))
    assert torch.equal(images, before)


def test_bad_padding_is_named() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.random_crop\.padding"):
        RandomCrop(padding=0)


def test_a_padding_may_be_a_fraction_of_each_side() -> None:
    """0.125 of 16 × 32 is 2 rows and 4 columns; of 8 × 2 one row, and one column at the least."""
    for (height, width), moved in {(16, 32): (2, 4), (8, 2): (1, 1)}.items():
        top, left = RandomCrop(padding=0.125).draw(
            ExampleRandom(0, 0, torch.arange(500)), (height, width)
        )
        assert (int(top.max()), int(left.max())) == (2 * moved[0], 2 * moved[1])
        images = noise(500, 1, height, width)
        got = RandomCrop(padding=0.125)(images, ExampleRandom(0, 0, torch.arange(500)))
        padded = reference.pad(images[7], [moved[1], moved[0]])
        assert torch.equal(got[7], reference.crop(padded, int(top[7]), int(left[7]), height, width))


def test_another_size_is_a_piece_of_the_image() -> None:
    crop, images = RandomCrop(padding=2, size=7), noise(80, 3, 12, 15)
    draws = [ExampleRandom(3, 2, torch.arange(80)) for _ in range(3)]
    got = crop(images, draws[0])
    top, left = crop.draw(draws[1], (12, 15))
    assert (top.max().item(), left.max().item()) == (9, 12)  # 12 + 4 - 7, 15 + 4 - 7
    padded = torch.nn.functional.pad(images, [2] * 4)
    for row, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        assert torch.equal(got[row], padded[row, :, y : y + 7, x : x + 7])
    with pytest.raises(ValueError, match="size=17x17 is larger than the images, 12x15, with their"):
        RandomCrop(padding=2, size=17)(images, draws[2])
