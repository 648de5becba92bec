"""Images: grids, thumbnails and confusion matrices."""

import time

import numpy as np
import pytest
import torch

from trainer.report.images import (
    CELL,
    COLUMNS,
    DARK_BLUE,
    LINE,
    SIDE,
    confusion,
    confusion_matrix,
    grid,
    thumbnails,
)


def test_a_grid_by_hand() -> None:
    """Three grey images in two columns, enlarged 96 times, with gaps of two pixels."""
    pixels = grid(torch.tensor([0.0, 1.0, 2.0])[:, None, None, None], columns=2)
    assert pixels.shape == (2 * 98, 2 * 98, 3)
    assert [pixels[y, x].tolist() for y, x in ((0, 0), (0, 98), (98, 0), (98, 98))] == [
        [0] * 3,
        [255] * 3,
        [255] * 3,  # 2.0 is clamped
        [0] * 3,  # there is no fourth image
    ]
    assert not pixels[:, 96:98].any()


def test_confusion_counts_by_hand() -> None:
    labels, predictions = torch.tensor([0, 0, 2, 2]), torch.tensor([0, 1, 2, 2])
    assert confusion_matrix(labels, predictions, 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]


def test_confusion_is_shaded_by_the_share_of_the_row() -> None:
    """Class b was never a label: its row is white. Every c was predicted as c: darkest blue."""
    labels, predictions = torch.tensor([0, 0, 2, 2]), torch.tensor([0, 1, 2, 2])
    image = confusion(labels, predictions, ("a", "b", "c"))
    margin = 8 + 7
    assert image.shape == (margin + 3 * CELL, margin + 3 * CELL, 3)

    def corner(row: int, column: int) -> list[int]:
        return image[margin + row * CELL, margin + column * CELL].tolist()

    assert corner(2, 2) == list(DARK_BLUE)
    assert corner(1, 1) == corner(0, 2) == [255] * 3
    assert corner(0, 0) == corner(0, 1) == [round(255 + (c - 255) * 0.5**0.5) for c in DARK_BLUE]


def test_a_cell_ends_a_pixel_before_the_next() -> None:
    image = confusion(torch.tensor([0, 1]), torch.tensor([0, 1]), ("a", "b"))
    margin = 8 + 7
    inside = image[margin : margin + CELL - 1, margin + 20 : margin + CELL - 1]
    assert (inside[-5:] == DARK_BLUE).all()
    assert (image[margin + CELL - 1] == 255).all()
    assert (image[:, margin + CELL - 1] == 255).all()


@pytest.mark.parametrize("classes", [101, 1000, 100_000])
def test_of_many_classes_the_confused_pairs_are_listed(classes: int) -> None:
    """57 s for the matrix of 1,000 classes, and 2 GB: nothing grows with their square."""
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(0, classes, (2, 20_000), generator=generator)
    names = tuple(f"class {i} 甲" for i in range(classes))
    began = time.process_time()
    image = confusion(labels, predictions, names)
    assert time.process_time() - began < 5
    assert image.shape == (8 + LINE * 31, 640, 3)
    right = confusion(labels, labels, names)
    assert (right[20:] == 255).all(), "nothing is confused"
    assert not (image[20:] == 255).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 14), (3, 200, 300), (1, 1, 500)])
def test_thumbnails_are_enlarged_or_reduced(shape: tuple[int, int, int]) -> None:
    """Ten images in two rows; the longer side is 96 pixels."""
    images = np.full((10, *shape), 100, np.uint8)
    sheet = thumbnails(images, [["a label", "id 1"]] * 10)
    height = max(1, round(shape[1] * SIDE / max(shape[1:])))
    assert sheet.shape == (2 * (height + 4 + 2 * LINE), COLUMNS * (SIDE + 4), 3)
    width = max(1, round(shape[2] * SIDE / max(shape[1:])))
    assert (sheet[2 : 2 + height, 2 : 2 + width] == 100).all()
    assert (sheet[:2] == 255).all()


def test_characters_that_the_font_lacks_are_question_marks() -> None:
    images = np.zeros((1, 1, 8, 8), np.uint8)
    assert np.array_equal(thumbnails(images, [["猫", "→"]]), thumbnails(images, [["?", "?"]]))
