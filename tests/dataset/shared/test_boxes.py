"""Boxes as labels: padding, what is refused, and classes in another order."""

import pytest
import torch

from trainer.core.errors import DataError
from trainer.dataset import Split
from trainer.dataset.shared.boxes import padded, per_class, renamed
from trainer.dataset.shared.check_labels import check_labels
from trainer.dataset.shared.split import Pixels

INSIDE = [2.0, 0, 0, 20, 10]


def test_images_with_fewer_boxes_are_padded_with_class_0() -> None:
    boxes = padded([torch.tensor([INSIDE, INSIDE]), torch.zeros(0, 5)])
    assert boxes.tolist() == [[INSIDE, INSIDE], [[0.0] * 5] * 2]
    assert padded([torch.zeros(0, 5)]).shape == (1, 1, 5)


def test_crowds_and_padding_are_not_counted() -> None:
    boxes = torch.tensor([[[1.0, 0, 0, 1, 1], [-3, 0, 0, 1, 1]], [[3, 0, 0, 1, 1], [0] * 5]])
    assert per_class(boxes, 3).tolist() == [1, 0, 1]


def test_classes_are_renamed_by_their_place() -> None:
    boxes = torch.tensor([[[1.0, 1, 2, 3, 4], [-3, 5, 6, 7, 8], [0] * 5]])
    moved = renamed(boxes, torch.tensor([2, 1, 0]))
    assert moved.tolist() == [[[3.0, 1, 2, 3, 4], [-1, 5, 6, 7, 8], [0] * 5]]


@pytest.mark.parametrize(
    "box",
    [
        [4.0, 0, 0, 5, 5],
        [-4.0, 0, 0, 5, 5],
        [1.5, 0, 0, 5, 5],
        [1.0, 0, 0, 21, 5],
        [1.0, 0, 0, 5, 11],
        [1.0, -1, 0, 5, 5],
        [1.0, 5, 0, 5, 5],
        [1.0, 0, float("nan"), 5, 5],
        [float("inf"), 0, 0, 5, 5],
    ],
)
def test_impossible_boxes_are_refused(box: list[float]) -> None:
    """Images of 10 x 20 with three classes; the second has the box."""
    labels = torch.tensor([[INSIDE, [0.0] * 5], [INSIDE, box]])
    split = Split(Pixels(torch.zeros(2, 1, 10, 20, dtype=torch.uint8)), labels, torch.arange(2))
    with pytest.raises(DataError, match=r"the label of 1 example has a box that is.*: 1$"):
        check_labels(split, 3)
    check_labels(Split(split.images, labels[:1], torch.arange(1)), 3)
