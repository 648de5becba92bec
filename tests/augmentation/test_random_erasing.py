"""Random erasing with one box per image."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor
from torchvision.transforms import v2

from trainer.augmentation.random_erasing import RandomErasing


def boxes_of(hidden: Tensor) -> Tensor:
    """Top, left, height, width [N, 4] of the boxes in masks bool [B, H, W], where there is one."""
    hidden = hidden[hidden.any((1, 2))]
    rows, columns = hidden.any(2).int(), hidden.any(1).int()
    sides = rows.argmax(1), columns.argmax(1), rows.sum(1), columns.sum(1)
    return torch.stack(sides, 1)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_equals_torchvision_image_by_image(value: float, pictures, draws) -> None:
    images, erasing = pictures(), RandomErasing(p=1.0, value=value)
    hidden = erasing.draw(draws(), (12, 15))
    got = erasing(images, draws())
    for row, image in enumerate(images):
        top, left, height, width = boxes_of(hidden[row : row + 1])[0].tolist()
        assert hidden[row].sum() == height * width
        want = reference.erase(image, top, left, height, width, torch.tensor(value))
        assert torch.equal(got[row], want)


def test_boxes_have_the_distribution_of_torchvision(draws) -> None:
    """Mean positions and sides of 3000 boxes of each; some of torchvision's are empty."""
    torch.manual_seed(0)
    image, theirs = torch.zeros(3, 24, 20), v2.RandomErasing()
    made = (theirs.make_params([image]) for _ in range(3000))
    want = torch.tensor([[box[side] for side in "ijhw"] for box in made if box["v"] is not None])
    want = want[want[:, 2:].prod(1) > 0].float()
    got = boxes_of(RandomErasing(p=1.0).draw(draws(3000), (24, 20))).float()
    difference = (got.mean(0) - want.mean(0)).abs() / want.std(0)
    assert difference.max() < 0.08  # its standard deviation is √(2 / 3000) = 0.026
    assert len(got.unique(dim=0)) > 2000
    ratios = (got[:, 2] / got[:, 3]).log().mean() - (want[:, 2] / want[:, 3]).log().mean()
    assert ratios.abs() < 0.06


def test_p_is_the_fraction_of_erased_images(draws) -> None:
    for p in (0.0, 0.3, 1.0):
        hidden = RandomErasing(p=p).draw(draws(4000), (16, 16))
        assert hidden.any((1, 2)).float().mean().item() == pytest.approx(p, abs=0.03)


def test_by_hand_a_square_quarter(draws) -> None:
    """A square of a quarter of 8 × 8 pixels: 4 × 4 at any of 5 × 5 positions."""
    erasing = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    boxes = boxes_of(erasing.draw(draws(2000), (8, 8)))
    assert boxes[:, 2:].unique().tolist() == [4]
    assert len(boxes.unique(dim=0)) == 25


def test_if_no_box_fits_nothing_is_erased(pictures, draws) -> None:
    erasing = RandomErasing(p=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.equal(erasing(pictures(), draws()), pictures())


def test_random_values_are_uniform_and_independent_per_pixel(draws) -> None:
    erasing = RandomErasing(p=1.0, value="random")
    images = torch.full((200, 3, 12, 12), -1.0)
    got, hidden = erasing(images, draws(200)), erasing.draw(draws(200), (12, 12))
    erased = got[hidden[:, None].expand_as(got)]
    assert ((got == -1) == ~hidden[:, None]).all()
    assert erased.min() >= 0
    assert erased.max() < 1
    assert erased.mean().item() == pytest.approx(0.5, abs=0.01)
    assert erased.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert len(erased.unique()) > 0.99 * len(erased)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 2.0}, r"p must be in \[0, 1\]"),
        ({"scale": (0.5, 0.2)}, r"scale must be \[low,high\]"),
        ({"ratio": (0.0, 1.0)}, r"ratio must be in \(0, inf\)"),
        ({"value": 255.0}, r"value must be in \[0, 1\], got 255.0"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.random_erasing\." + message):
        RandomErasing(**settings)
