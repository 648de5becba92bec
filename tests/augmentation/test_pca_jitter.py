"""Colour shifts along the principal axes of the data, one per image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.augmentation.pca_jitter import PcaJitter, covariance
from trainer.core.errors import ConfigError
from trainer.dataset import Split
from trainer.dataset.base import Pixels


def split_of(pixels: Tensor) -> Split:
    """A split of the images uint8 [N, C, H, W]."""
    return Split(
        Pixels(pixels), torch.zeros(len(pixels), dtype=torch.long), torch.arange(len(pixels))
    )


@pytest.fixture
def split() -> Split:
    """RGB pixels with correlated channels, which share part of their noise."""
    rng = torch.Generator().manual_seed(0)
    common = torch.randint(0, 150, (30, 1, 6, 7), generator=rng)
    own = (
        torch.randint(0, 100, (30, 3, 6, 7), generator=rng)
        // torch.tensor([1, 2, 4])[:, None, None]
    )
    return split_of((common + own).to(torch.uint8))


def values(split: Split) -> np.ndarray:
    """The pixels [3, N·H·W] of the whole split, in [0, 1]."""
    return split.images.read(range(len(split))).double().div(255).transpose(0, 1).flatten(1).numpy()


def test_the_covariance_equals_numpy_over_all_pixels(split: Split) -> None:
    np.testing.assert_allclose(covariance(split), np.cov(values(split), bias=True), rtol=1e-9)


def test_the_eigenvalue_and_not_its_root_scales_the_shift(draws) -> None:
    """Half of the pixels are black, half red: λ = 0.25 and v = (1, 0, 0), so shifts are a·0.25."""
    pixels = torch.zeros(2, 3, 1, 2, dtype=torch.uint8)
    pixels[:, 0, 0, 1] = 255
    jitter = PcaJitter(sigma=0.1)
    jitter.prepare(split_of(pixels))
    got = jitter(torch.full((4000, 3, 1, 1), 0.5), draws(4000))[:, :, 0, 0] - 0.5
    assert got[:, 0].std().item() == pytest.approx(
        0.1 * 0.25, rel=0.05
    )  # its root would give 0.1 · 0.5
    assert got[:, 0].mean().item() == pytest.approx(0, abs=0.002)
    assert got[:, 1:].abs().max().item() == pytest.approx(0, abs=1e-7)


def test_the_shift_has_the_covariance_of_the_formula(split: Split, draws) -> None:
    """Σ a_i λ_i v_i has covariance σ² Σ λ_i² v_i v_iᵀ = σ² Cov², regardless of the signs of v."""
    jitter = PcaJitter(sigma=0.2)
    jitter.prepare(split)
    got = jitter(torch.full((20_000, 3, 1, 1), 0.5), draws(20_000))[:, :, 0, 0] - 0.5
    known = np.cov(values(split), bias=True)
    want = 0.04 * known @ known
    np.testing.assert_allclose(np.cov(got.T.numpy()), want, atol=0.03 * want.max())
    assert abs(0.04 * known - want).max() > 0.5 * want.max()  # as with square roots


def test_each_image_has_one_shift_for_all_its_pixels(pictures, split, draws) -> None:
    jitter = PcaJitter(sigma=0.01)
    jitter.prepare(split)
    images = pictures() * 0.5 + 0.2
    shift = (jitter(images, draws()) - images).flatten(2)
    torch.testing.assert_close(shift, shift[:, :, :1].expand_as(shift), atol=1e-6, rtol=0)
    assert len(shift[:, 0, 0].unique()) > 35


def test_given_eigenvectors_are_columns_and_need_no_data(draws) -> None:
    """λ = (1, 0, 0) and a first column (0.6, 0.8, 0) give the shifts 0.6 a, 0.8 a, 0."""
    vectors = [[0.6, 0.8, 0.0], [0.8, -0.6, 0.0], [0.0, 0.0, 1.0]]
    jitter = PcaJitter(eigenvalues=(1.0, 0.0, 0.0), eigenvectors=vectors)
    got = jitter(torch.full((9, 3, 1, 1), 0.5), draws(9))[:, :, 0, 0] - 0.5
    a = 0.1 * draws(9).normal()
    torch.testing.assert_close(got, a[:, None] * torch.tensor([0.6, 0.8, 0.0]))


def test_standardised_axes_come_from_the_correlation(split: Split, draws) -> None:
    jitter = PcaJitter(sigma=0.02, standardize=True)
    jitter.prepare(split)
    got = jitter(torch.full((20_000, 3, 1, 1), 0.5), draws(20_000))[:, :, 0, 0] - 0.5
    known, deviations = np.corrcoef(values(split)), values(split).std(1)
    want = 0.0004 * deviations[:, None] * (known @ known) * deviations
    np.testing.assert_allclose(np.cov(got.T.numpy()), want, atol=0.03 * want.max())


def test_values_out_of_range_are_clipped(draws) -> None:
    eye = torch.eye(3).tolist()
    jitter = PcaJitter(eigenvalues=(5.0, 5.0, 5.0), eigenvectors=eye)
    got = jitter(torch.full((50, 3, 2, 2), 0.5), draws(50))
    assert (got.min(), got.max()) == (0, 1)


def test_at_most_2000_images_are_read(split: Split) -> None:
    class Counted(Pixels):
        read_ids = 0

        def read(self, ids) -> Tensor:
            self.read_ids += len(ids)
            return super().read(ids)

    images = Counted(torch.zeros(2500, 3, 1, 1, dtype=torch.uint8))
    PcaJitter().prepare(Split(images, torch.zeros(2500).long(), torch.arange(2500)))
    assert images.read_ids == 2000


def test_grey_images_and_a_call_without_axes_are_errors(noise, pictures, draws) -> None:
    with pytest.raises(ConfigError, match=r"pca_jitter needs RGB images, got 1 channel"):
        PcaJitter().prepare(noise(shape=(1, 5, 5)))
    with pytest.raises(RuntimeError, match="prepare"):
        PcaJitter()(pictures(), draws())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -1.0}, "sigma must be in"),
        ({"eigenvalues": (1.0, 1.0, 1.0)}, "eigenvalues and .*eigenvectors must be set together"),
        (
            {"eigenvalues": (1.0, 1.0, 1.0), "eigenvectors": [[1.0, 0.0], [0.0, 1.0]]},
            "eigenvectors must be 3 rows of 3",
        ),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.pca_jitter\." + message):
        PcaJitter(**settings)
