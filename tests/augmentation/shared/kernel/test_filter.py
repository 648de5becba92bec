"""The batched blur equals torchvision's for each image, with its own standard deviation."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from trainer.augmentation.shared.kernel.filter import gaussian_blur


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("shape", [(3, 8, 11), (1, 6, 5)])
def test_equals_torchvision_image_by_image(size: int, shape: tuple[int, int, int]) -> None:
    images = torch.rand(12, *shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.linspace(0.1, 3, 12)
    got = gaussian_blur(images, sigma, size)
    for row, (image, deviation) in enumerate(zip(images, sigma, strict=True)):
        want = reference.gaussian_blur(image, [size, size], [float(deviation)])
        torch.testing.assert_close(got[row], want, atol=1e-6, rtol=0)


def test_a_point_by_hand() -> None:
    """Size 3, σ = 1: weights e^(−1/2), 1, e^(−1/2) over their sum 2.2130613, rows by columns."""
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    got = gaussian_blur(image, torch.ones(1), 3)[0, 0]
    assert got[2, 1:4].tolist() == pytest.approx([0.1238414, 0.2041799, 0.1238414])
    assert got[1, 1].item() == pytest.approx(0.0751136)
    assert got.sum().item() == pytest.approx(1.0)
