"""The confusion matrix, of three classes to a hundred thousand."""

import time

import numpy as np
import pytest
import torch

from trainer.report.confusion import DARK_BLUE, PAD, WIDE, confusion, confusion_matrix
from trainer.report.lettering import LINE

CELL = 64  # of three classes


def test_confusion_counts_by_hand() -> None:
    labels, predictions = torch.tensor([0, 0, 2, 2]), torch.tensor([0, 1, 2, 2])
    assert confusion_matrix(labels, predictions, 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]


def cells_of(image: np.ndarray, classes: int, cell: int) -> np.ndarray:
    """The top left pixel [C, C, 3] of each cell; the matrix is at the bottom right."""
    start = -PAD - classes * cell
    return image[start : -PAD or None : cell, start : -PAD or None : cell]


def test_confusion_is_shaded_by_the_share_of_the_row() -> None:
    """Class b was never a label: its row is white. Every c was predicted as c: darkest blue."""
    labels, predictions = torch.tensor([0, 0, 2, 2]), torch.tensor([0, 1, 2, 2])
    cells = cells_of(confusion(labels, predictions, ("a", "b", "c")), 3, CELL)
    assert cells[2, 2].tolist() == list(DARK_BLUE)
    assert cells[1, 1].tolist() == cells[0, 2].tolist() == [255] * 3
    half = [round(255 + (c - 255) * 0.5**0.5) for c in DARK_BLUE]
    assert cells[0, 0].tolist() == cells[0, 1].tolist() == half


@pytest.mark.parametrize(("classes", "cell"), [(3, 64), (10, 48), (20, 36), (37, 28), (100, 22)])
def test_a_picture_fits_a_screen_or_can_be_read_when_enlarged(classes: int, cell: int) -> None:
    labels = torch.arange(classes).repeat(2)
    names = tuple(f"a class with quite a long name {i}" for i in range(classes))
    image = confusion(labels, labels, names)
    assert classes * cell < image.shape[0] < classes * cell + 220, "long names are shortened"
    assert classes * cell < image.shape[1] < classes * cell + 220
    diagonal = cells_of(image, classes, cell).diagonal().T
    assert (diagonal == DARK_BLUE).all()


@pytest.mark.parametrize("count", [7, 12_345, 123_456_789])
def test_no_count_leaves_its_cell(count: int) -> None:
    """Digits are white on the dark cells; their edges stay blue."""
    matrix = np.zeros((60, 60), np.int64)
    matrix[3, 3] = count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.report.confusion.confusion_matrix", lambda *_: torch.tensor(matrix))
        image = confusion(torch.zeros(0), torch.zeros(0), tuple(map(str, range(60))))
    start = -PAD - 60 * 22 + 3 * 22
    cell = image[start : start + 21, start : start + 21]
    assert (cell == 255).all(2).any() or (cell > 200).all(2).any(), "there is a count"
    for edge in (cell[0], cell[-1], cell[:, 0], cell[:, -1]):
        assert (edge == DARK_BLUE).all()


@pytest.mark.parametrize("classes", [101, 1000, 100_000])
def test_of_many_classes_the_confused_pairs_are_listed(classes: int) -> None:
    """57 s for the matrix of 1,000 classes, and 2 GB: nothing grows with their square."""
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(0, classes, (2, 20_000), generator=generator)
    names = tuple(f"class {i} 甲" for i in range(classes))
    began = time.process_time()
    image = confusion(labels, predictions, names)
    assert time.process_time() - began < 5
    assert image.shape == (2 * PAD + LINE * 32, WIDE, 3)
    right = confusion(labels, labels, names)
    assert (right[PAD + LINE + 4 :] == 255).all(), "nothing is confused"
    assert not (image[PAD + LINE + 4 :] == 255).all()
