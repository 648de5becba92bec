"""The batched geometric kernels equal torchvision's for each image, with its own parameters."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode

from trainer.augmentation.shared.kernel import geometry

MODES = {True: InterpolationMode.NEAREST, False: InterpolationMode.BILINEAR}
SHAPES = [(3, 12, 12), (1, 9, 14)]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def spread(low: float, high: float, images: int = 30) -> Tensor:
    """Numbers from low to high, one per image, shuffled."""
    rng = torch.Generator().manual_seed(int(1000 * abs(low) + high))
    return torch.linspace(low, high, images)[torch.randperm(images, generator=rng)]


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("corner", [True, False])
def test_affine_equals_torchvision_image_by_image(
    shape: tuple[int, int, int], *, nearest: bool, corner: bool
) -> None:
    images, (_, height, width) = noise(30, *shape), shape
    angle, scale = spread(-170, 170), spread(0.5, 1.7)
    right, down, shear_x, shear_y = spread(-5, 5), spread(-3, 3), spread(-25, 25), spread(-20, 20)
    centre = (-width / 2, -height / 2) if corner else (0.0, 0.0)
    matrices = geometry.affine_matrix(
        angle, right=right, down=down, scale=scale, shear_x=shear_x, shear_y=shear_y, centre=centre
    )
    got = geometry.warp(images, matrices, nearest=nearest)
    wrong = 0
    for i, image in enumerate(images):
        want = reference.affine(
            image,
            float(angle[i]),
            [float(right[i]), float(down[i])],
            float(scale[i]),
            [float(shear_x[i]), float(shear_y[i])],
            interpolation=MODES[nearest],
            center=[0.0, 0.0] if corner else None,
        )
        wrong += int(((got[i] - want).abs() > 1e-4).sum())
    assert wrong == 0


def test_defaults_are_the_identity_and_numbers_apply_to_all_images() -> None:
    images = noise(4, 2, 6, 7)
    still = geometry.warp(images, geometry.affine_matrix(torch.zeros(4)))
    torch.testing.assert_close(still, images, atol=1e-6, rtol=0)
    assert torch.equal(
        geometry.warp(images, geometry.affine_matrix(torch.zeros(4)), nearest=True), images
    )
    matrices = geometry.affine_matrix(torch.zeros(4), right=2.0, down=-1.0, scale=1.0)
    want = reference.affine(images, 0.0, [2.0, -1.0], 1.0, [0.0, 0.0])
    torch.testing.assert_close(geometry.warp(images, matrices), want, atol=1e-5, rtol=0)


def test_a_quarter_turn_by_hand() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    got = geometry.warp(image, geometry.affine_matrix(torch.tensor([90.0])), nearest=True)
    assert got[0, 0].tolist() == [[3.0, 1.0], [4.0, 2.0]]  # clockwise


def test_pixels_outside_the_image_have_the_fill() -> None:
    """As if the image were padded with the fill first; exact for class ids."""
    images, angle = noise(8, 2, 9, 10), spread(-60, 60, 8)
    matrices = geometry.affine_matrix(angle, right=2.5, scale=0.8)
    padded = torch.nn.functional.pad(images, [9] * 4, value=0.7)
    want = geometry.warp(padded, matrices)[..., 9:-9, 9:-9]
    got = geometry.warp(images, matrices, fill=0.7)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    ids = (images * 21).floor()
    got = geometry.warp(ids, matrices, nearest=True, fill=255)
    want = reference.affine(
        ids[3], float(angle[3]), [2.5, 0.0], 0.8, [0.0, 0.0], InterpolationMode.NEAREST, fill=255
    )
    assert torch.equal(got[3], want)


def test_sample_between_pixels_by_hand() -> None:
    """Row 0.5 is between two rows, column 1 on a pixel, row −1 outside."""
    image = torch.tensor([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]])[None, None]
    got = geometry.sample(image, torch.tensor([[0.5, -1.0]]), torch.tensor([[1.0, 1.25]]), fill=9)
    torch.testing.assert_close(got[0, 0], torch.tensor([[3.0, 3.25], [9.0, 9.0]]))


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_equals_torchvision_image_by_image(shape: tuple[int, int, int]) -> None:
    images, (_, height, width) = noise(30, *shape), shape
    top, left = torch.arange(30) % 5, torch.arange(30) % 7
    got = geometry.cut(images, top, left, (2, 3), fill=0.5)
    for row, image in enumerate(images):
        padded = reference.pad(image, [3, 2], fill=0.5)
        want = reference.crop(padded, int(top[row]), int(left[row]), height, width)
        assert torch.equal(got[row], want)


def resized(images: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Each image resized, with its top left corner fixed."""
    start = torch.zeros(len(images), dtype=torch.long)
    rows = geometry.resize_weights(images.shape[-2], height, start)
    columns = geometry.resize_weights(images.shape[-1], width, start)
    return rows[:, None] @ images @ columns[:, None].mT


@pytest.mark.parametrize("shape", SHAPES)
def test_resize_equals_torchvision_with_antialias(shape: tuple[int, int, int]) -> None:
    images, (_, rows, columns) = noise(30, *shape), shape
    height, width = spread(1, 2.5 * rows).long(), spread(2, 2 * columns).long()
    got = resized(images, height, width)
    for i, image in enumerate(images):
        whole = reference.resize(image, [int(height[i]), int(width[i])], antialias=True)
        want = torch.zeros(shape)
        part = whole[:, :rows, :columns]
        want[:, : part.shape[1], : part.shape[2]] = part
        torch.testing.assert_close(got[i], want, atol=1e-5, rtol=0)


def test_resize_weights_by_hand() -> None:
    """4 pixels to 2 at offset 1: triangles of half-width 2: (0.75, 0.75, 0.25, 0) / 1.75."""
    got = geometry.resize_weights(4, torch.tensor([2]), torch.tensor([1]))[0]
    edge = [0.75 / 1.75, 0.75 / 1.75, 0.25 / 1.75, 0.0]
    want = torch.tensor([[0.0] * 4, edge, edge[::-1], [0.0] * 4])
    torch.testing.assert_close(got, want)


def test_rectangles_may_extend_beyond_the_border() -> None:
    top, left = torch.tensor([-1, 2]), torch.tensor([0, 3])
    got = geometry.rectangle(top, left, torch.tensor([2, 5]), 2, (4, 5))
    assert got[0].nonzero().tolist() == [[0, 0], [0, 1]]
    assert got[1].nonzero().tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]
    assert math.prod(got.shape) == 40
