"""Boxes move with the pixels of their image: as torchvision moves them, and with what is left."""

from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors

from trainer.augmentation import Augmentation, Geometric
from trainer.augmentation.affine import Affine
from trainer.augmentation.color_jitter import ColorJitter
from trainer.augmentation.horizontal_flip import HorizontalFlip
from trainer.augmentation.rand_augment import RandAugment
from trainer.augmentation.random_crop import RandomCrop
from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.augmentation.random_scale import RandomScale
from trainer.augmentation.rotate import Rotate
from trainer.augmentation.scale_jitter import ScaleJitter
from trainer.augmentation.shared.kernel.boxes import kept
from trainer.augmentation.shift import Shift
from trainer.augmentation.vertical_flip import VerticalFlip
from trainer.core.seed import ExampleRandom

NUMBER, SIZE = 24, (60, 80)
Boxes = tv_tensors.BoundingBoxes


def draws(number: int = NUMBER) -> ExampleRandom:
    return ExampleRandom(1, 0, torch.arange(number))


def labels() -> Tensor:
    """Three boxes of each of 24 images and a padded row, [24, 4, 5]."""
    rng = torch.Generator().manual_seed(0)
    low = torch.rand(NUMBER, 3, 2, generator=rng) * torch.tensor([60.0, 45])
    sides = 1 + torch.rand(NUMBER, 3, 2, generator=rng) * torch.tensor([19.0, 14])
    boxes = torch.cat([torch.ones(NUMBER, 3, 1), low, low + sides], -1)
    return torch.cat([boxes, torch.zeros(NUMBER, 1, 5)], 1)


def flipped(boxes: Boxes, which: Tensor) -> Tensor:
    return reference.horizontal_flip(boxes) if which else boxes


def flipped_down(boxes: Boxes, which: Tensor) -> Tensor:
    return reference.vertical_flip(boxes) if which else boxes


def cropped(boxes: Boxes, at: tuple[Tensor, Tensor]) -> Tensor:
    padded = reference.pad(boxes, [10, 8, 10, 8])
    return reference.crop(padded, int(at[0]), int(at[1]), SIZE[0], SIZE[1])


def resized_crop(boxes: Boxes, box: tuple[Tensor, ...]) -> Tensor:
    top, left, height, width = map(int, box)
    return reference.resized_crop(boxes, top, left, height, width, list(SIZE))


def shifted(boxes: Boxes, by: tuple[Tensor, Tensor]) -> Tensor:
    return affine(boxes, right=float(by[1]), down=float(by[0]))


def scaled(boxes: Boxes, factor: Tensor) -> Tensor:
    return affine(boxes, scale=float(factor))


def rotated(boxes: Boxes, degrees: Tensor) -> Tensor:
    return reference.rotate(boxes, float(degrees))


def jittered(boxes: Boxes, frame: tuple[Tensor, ...]) -> Tensor:
    """Resize, then pad or crop by the edges of the frame."""
    top, left, height, width = map(int, frame)
    moved = reference.resize(boxes, [height, width])
    return reference.pad(moved, [left, top, SIZE[1] - width - left, SIZE[0] - height - top])


def affine(boxes: Boxes, right: float = 0, down: float = 0, scale: float = 1) -> Tensor:
    return reference.affine(boxes, 0.0, [right, down], scale, [0.0, 0.0])


CASES: dict[str, tuple[Geometric, Callable[..., Tensor]]] = {
    "horizontal_flip": (HorizontalFlip(), flipped),
    "vertical_flip": (VerticalFlip(), flipped_down),
    "random_crop": (RandomCrop(padding=0.125), cropped),
    "random_resized_crop": (RandomResizedCrop(), resized_crop),
    "shift": (Shift(fraction=0.3), shifted),
    "random_scale": (RandomScale(scale=(0.5, 2.0)), scaled),
    "rotate": (Rotate(degrees=180.0), rotated),
    "scale_jitter": (ScaleJitter(), jittered),
}


def expected(edges: Tensor, name: str) -> Tensor:
    """The boxes that torchvision makes of edges [24, 3, 4], image by image."""
    augmentation, move = CASES[name]
    parameters = augmentation.draw(draws(), SIZE)
    moved = []
    for image, boxes in enumerate(edges):
        own = (
            parameters[image] if isinstance(parameters, Tensor) else [p[image] for p in parameters]
        )
        moved.append(move(Boxes(boxes, format="XYXY", canvas_size=SIZE), own))  # pyright: ignore
    return torch.stack([torch.as_tensor(boxes) for boxes in moved])


@pytest.mark.parametrize("name", list(CASES))
def test_boxes_are_where_torchvision_moves_them(name: str, pictures) -> None:
    boxes = labels()
    images = pictures(NUMBER, 3, *SIZE)
    moved, got = CASES[name][0].with_boxes(images, boxes, draws(), min_visible=0)
    assert torch.equal(moved, CASES[name][0](images, draws()))
    border = torch.tensor([80.0, 60, 80, 60])
    wanted = expected(boxes[:, :3, 1:], name).clamp(min=0).minimum(border)
    left = (wanted[..., 2:] > wanted[..., :2]).all(-1)
    assert left.float().mean() > 0.5
    torch.testing.assert_close(got[:, :3, 1:][left], wanted[left], atol=1e-4, rtol=0)
    assert (got[:, :3][~left] == 0).all()
    assert (got[:, 3] == 0).all()


def test_an_affine_map_moves_boxes_as_torchvision_does(pictures) -> None:
    augmentation = Affine(degrees=40, translate=(0.2, 0.1), scale=(0.7, 1.4), shear=15.0)
    boxes, numbers = labels(), draws()
    _, got = augmentation.with_boxes(pictures(NUMBER, 1, *SIZE), boxes, draws(), min_visible=0)
    right = (numbers.uniform(-1, 1) * 16).round()
    down = (numbers.uniform(-1, 1) * 6).round()
    angle, scale = numbers.uniform(-40, 40), numbers.uniform(0.7, 1.4)
    shear = numbers.uniform(-15, 15)
    for image in range(NUMBER):
        wanted = reference.affine(
            Boxes(boxes[image, :3, 1:], format="XYXY", canvas_size=SIZE),  # pyright: ignore
            float(angle[image]),
            [float(right[image]), float(down[image])],
            float(scale[image]),
            [float(shear[image]), 0.0],
        )
        left = ((wanted[:, 2:] - wanted[:, :2]) > 0).all(-1)
        torch.testing.assert_close(
            got[image, :3, 1:][left], torch.as_tensor(wanted)[left], atol=1e-4, rtol=0
        )


def test_a_bright_box_is_where_its_label_is_after_every_geometric_change() -> None:
    """Pixels, not formulas: the moved rectangle lies within the moved box, and touches it."""
    image = torch.zeros(NUMBER, 1, *SIZE)
    image[:, :, 20:40, 30:50] = 1
    boxes = torch.tensor([[[1.0, 30, 20, 50, 40]]]).expand(NUMBER, -1, -1)
    for name, (augmentation, _) in CASES.items():
        moved, got = augmentation.with_boxes(image, boxes, draws(), min_visible=0)
        for picture, (kind, x0, y0, x1, y1) in zip(moved[:, 0], got[:, 0].tolist(), strict=True):
            if not kind:
                continue
            rows, columns = (picture > 0.5).nonzero().unbind(1)
            if len(rows):
                edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert [float(e) for e in edges] == pytest.approx([x0, y0, x1, y1], abs=1.6), name


@pytest.mark.parametrize("name", list(CASES))
def test_no_number_of_a_box_is_read_from_a_gpu(name: str) -> None:
    """Fake CUDA tensors have no values, and raise when combined with CPU tensors."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        images, boxes = torch.empty(8, 3, *SIZE, device="cuda"), torch.empty(8, 4, 5, device="cuda")
        numbers = ExampleRandom(1, 0, torch.arange(8, device="cuda"))
        moved = CASES[name][0].with_boxes(images, boxes, numbers)[1]
    assert (moved.device.type, moved.shape) == ("cuda", boxes.shape)


def test_what_is_left_of_a_box_decides_whether_it_counts() -> None:
    """Half, 0.3 and 0.2 of it, and nothing; a crowd stays one."""
    edges = [[-5.0, 0, 5, 8], [-7, 0, 3, 8], [-8, 0, 2, 8], [-9, 0, 0, 8], [-5, 0, 5, 8]]
    kinds = torch.tensor([2.0, 2, 2, 2, -2])[:, None]
    boxes = torch.cat([kinds, torch.tensor(edges)], 1)[None]
    got = kept(boxes, boxes[..., 1:], (20, 20), 0.3)[0]
    assert got[:, 0].tolist() == [2, 2, -2, 0, -2]
    assert got[2].tolist() == [-2, 0, 0, 2, 8]
    assert got[3].tolist() == [0] * 5


def test_photometric_changes_leave_boxes_alone(pictures) -> None:
    boxes, images = labels(), pictures(NUMBER, 3, *SIZE)
    jittered, same = ColorJitter().with_labels(images, boxes[:, None], draws())
    assert torch.equal(same, boxes[:, None])
    assert not torch.equal(jittered, images)


def test_labels_of_every_kind_have_their_own_way(pictures) -> None:
    """Boxes and masks move with a mirrored image, class ids do not."""
    images, flip = pictures(4, 1, *SIZE), HorizontalFlip(p=1.0)
    boxes = torch.tensor([1.0, 10, 5, 30, 25]).expand(4, 1, 1, 5)
    masks = (images > 0.5).long()
    assert flip.with_labels(images, boxes, draws(4))[1][0, 0, 0].tolist() == [1, 50, 5, 70, 25]
    assert torch.equal(flip.with_labels(images, masks, draws(4))[1], masks.flip(-1))
    classes = torch.arange(4)[:, None]
    assert flip.with_labels(images, classes, draws(4))[1] is classes


def test_a_policy_is_not_for_boxes(pictures) -> None:
    policy: Augmentation = RandAugment()
    assert "boxes" not in policy.targets
    with pytest.raises(ValueError, match=r"augmentation=rand_augment .*but not boxes; use rotate"):
        policy.with_boxes(pictures(NUMBER, 3, *SIZE), labels(), draws())
