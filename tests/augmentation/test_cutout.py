"""Square holes, different for each image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.augmentation.cutout import Cutout
from trainer.core.errors import ConfigError
from trainer.core.forward import Forward
from trainer.dataset.base import channel_statistics


def black(**settings) -> Cutout:
    return Cutout(fill="black", **settings)


def published(centres: list[tuple[int, int]], length: int, height: int, width: int) -> np.ndarray:
    """The mask of the authors' code, github.com/uoguelph-mlrg/Cutout, for given centres."""
    mask = np.ones((height, width), np.float32)
    for y, x in centres:
        y1, y2 = (np.clip(y + d, 0, height) for d in (-(length // 2), length // 2))
        x1, x2 = (np.clip(x + d, 0, width) for d in (-(length // 2), length // 2))
        mask[y1:y2, x1:x2] = 0.0
    return mask


@pytest.mark.parametrize("n_holes", [1, 3])
@pytest.mark.parametrize("length", [2, 8, 12])
def test_an_even_length_equals_the_published_code(length, n_holes, pictures, draws) -> None:
    images, numbers = pictures(), draws()
    got = black(length=length, n_holes=n_holes)(images, draws())
    centres = [(numbers.integer(0, 12), numbers.integer(0, 15)) for _ in range(n_holes)]
    for row, image in enumerate(images):
        corners = [(int(y[row]), int(x[row])) for y, x in centres]
        mask = torch.from_numpy(published(corners, length, 12, 15))
        assert torch.equal(got[row], image * mask)


def holes(got: Tensor) -> Tensor:
    """Rows and columns [B, 2] of the hole, in white images."""
    hole = got[:, 0] == 0
    return torch.stack([hole.any(2).sum(1), hole.any(1).sum(1)], 1)


@pytest.mark.parametrize("length", [1, 3, 5, 7])
def test_an_odd_length_is_exact_where_the_published_code_loses_a_row(length: int, draws) -> None:
    got = black(length=length)(torch.ones(2000, 1, 20, 20), draws(2000))
    assert holes(got).max() == length
    assert (got == 0).sum((1, 2, 3)).max() == length**2
    theirs = published([(10, 10)], length, 20, 20)
    assert (theirs == 0).sum() == (length - 1) ** 2


def test_an_odd_hole_is_symmetric_about_its_centre() -> None:
    """Length 3 at the centre (0, 0) of draws that are all zero: rows and columns −1 to 1."""

    class Zeros:
        def integer(self, low: int, high: int) -> Tensor:
            return torch.zeros(1, dtype=torch.long)

    got = black(length=3)(torch.ones(1, 1, 4, 4), Zeros())  # pyright: ignore
    assert (got[0, 0] == 0).nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_the_centre_is_anywhere_and_the_hole_is_clipped(draws) -> None:
    """Length 8 in 16 × 16: a quarter is left at a corner; holes of centres 4 to 12 are whole."""
    got = black(length=8)(torch.ones(20_000, 1, 16, 16), draws(20_000))
    areas = (got == 0).sum((1, 2, 3))
    assert (areas.min(), areas.max()) == (16, 64)
    assert (areas == 64).float().mean().item() == pytest.approx((9 / 16) ** 2, abs=0.015)
    covered = (got == 0).float().mean((0, 1))
    assert covered[8, 8].item() == pytest.approx(1 / 4, abs=0.015)  # 8 of 16 rows and columns
    assert covered[0, 0].item() == pytest.approx((5 / 16) ** 2, abs=0.015)  # centres 0 to 4


def test_each_image_has_its_own_holes(draws) -> None:
    got = black(length=4)(torch.ones(500, 1, 16, 16), draws(500))
    assert len(got.flatten(1).unique(dim=0)) > 150  # of 256 places


def test_the_mean_is_zero_after_standardisation(noise, draws) -> None:
    split, cutout = noise(shape=(3, 8, 8)), Cutout(length=4)
    cutout.prepare(split)
    mean, std = channel_statistics(split)
    forward = Forward(torch.nn.Identity(), mean=mean, std=std, device=torch.device("cpu"))
    got = forward.standardise(cutout(torch.full((50, 3, 8, 8), 0.9), draws(50)))
    hole = black(length=4)(torch.ones(50, 3, 8, 8), draws(50)) == 0
    assert got[hole].abs().max() < 1e-6
    assert got[~hole].min() > 0.1


def test_a_length_may_be_a_fraction_of_the_shorter_side(draws) -> None:
    got = black(length=0.5)(torch.ones(500, 1, 12, 20), draws(500))
    assert holes(got).max(0).values.tolist() == [6, 6]


def test_images_smaller_than_a_hole_are_an_error(noise) -> None:
    message = r"augmentation\.cutout\.length=16 is larger than the images, 6×5; 0.5 is half"
    with pytest.raises(ConfigError, match=message):
        Cutout().prepare(noise())
    Cutout(length=5).prepare(noise())


def test_a_call_without_means_is_an_error(pictures, draws) -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        Cutout()(pictures(), draws())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_holes": 0}, r"n_holes must be in \[1, inf\)"),
        ({"length": 0}, r"length must be in \[1, inf\)"),
        ({"length": 1.5}, r"length must be in \(0, 1\]"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.cutout\." + message):
        Cutout(**settings)
