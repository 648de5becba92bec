"""Normal noise, independent for each pixel."""

import numpy as np
import pytest
import torch
from scipy import stats

from trainer.augmentation.gaussian_noise import GaussianNoise


def test_the_noise_is_normal_with_the_deviation_of_the_setting(draws) -> None:
    images = torch.full((200, 3, 9, 11), 0.5)
    noise = (GaussianNoise(sigma=0.05)(images, draws(200)) - images).double().numpy()
    assert stats.kstest(noise.ravel() / 0.05, "norm").pvalue > 0.01
    assert noise.std() == pytest.approx(0.05, rel=0.01)


def test_noise_is_independent_across_pixels_channels_and_images(draws) -> None:
    noise = GaussianNoise(sigma=0.05)(torch.full((500, 3, 3, 3), 0.5), draws(500)) - 0.5
    assert np.abs(np.corrcoef(noise.flatten(1).T.numpy()) - np.eye(27)).max() < 0.2
    assert len(noise[:, 0, 0, 0].unique()) > 450


def test_with_a_range_each_image_has_its_own_sigma(draws) -> None:
    images = torch.full((300, 3, 16, 16), 0.5)
    noise = GaussianNoise(sigma=(0.01, 0.09))(images, draws(300)) - images
    want = draws(300).uniform(0.01, 0.09)
    torch.testing.assert_close(noise.flatten(1).std(1), want, rtol=0.1, atol=0)


def test_by_hand_and_clipped(draws) -> None:
    images = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    got = GaussianNoise(sigma=0.3)(images, draws(1))
    numbers = draws(1)
    numbers.uniform()  # the deviation
    want = (images + 0.3 * numbers.normals(3).view(1, 1, 1, 3)).clamp(0, 1)
    torch.testing.assert_close(got, want)
    many = GaussianNoise(sigma=0.3)(images.expand(100, -1, -1, -1), draws(100))
    assert (many.min(), many.max()) == (0, 1)


def test_sigma_0_changes_nothing(pictures, draws) -> None:
    assert torch.equal(GaussianNoise(sigma=0.0)(pictures(), draws()), pictures())


def test_bad_sigma_is_named() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.gaussian_noise\.sigma must be in"):
        GaussianNoise(sigma=-0.1)
