"""Images: grids and thumbnails."""

import numpy as np
import pytest
import torch

from trainer.report.images import COLUMNS, EDGE, SIDE, TITLE, grid, thumbnails, titled
from trainer.report.lettering import LINE


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


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 14), (3, 200, 300), (1, 1, 500)])
def test_thumbnails_are_enlarged_or_reduced(shape: tuple[int, int, int]) -> None:
    """Ten images in two rows; the longer side is 128 pixels."""
    images = np.full((10, *shape), 100, np.uint8)
    sheet = thumbnails(images, [["a label", "id 1"]] * 10)
    height = max(1, round(shape[1] * SIDE / max(shape[1:])))
    cell = height + 2 * EDGE + 2 * LINE
    assert sheet.shape == (2 * cell, COLUMNS * (SIDE + 2 * EDGE), 3)
    width = max(1, round(shape[2] * SIDE / max(shape[1:])))
    assert (sheet[EDGE : EDGE + height, EDGE : EDGE + width] == 100).all()
    assert (sheet[:EDGE] == 255).all()


def test_no_line_reaches_the_next_thumbnail() -> None:
    """A long name ends in its own column, and no letter is cut at the bottom."""
    images = np.full((2, 1, 8, 8), 255, np.uint8)
    sheet = thumbnails(
        images, [["a very long class name jyg" * 4, "IMG_20190812_123456 (3).jpeg"]] * 2
    )
    cell = SIDE + 2 * EDGE
    for left in (0, cell):
        assert (sheet[:, left : left + EDGE - 1] == 255).all()
        assert (sheet[:, left + cell - EDGE + 1 : left + cell] == 255).all()
    assert (sheet[-2:] == 255).all()
    assert (sheet < 128).any()


def test_sheets_are_stacked_under_their_titles() -> None:
    sheets = [
        ("first", np.zeros((10, 30, 3), np.uint8)),
        ("second", np.zeros((5, 20, 3), np.uint8)),
    ]
    picture = titled(sheets)
    assert picture.shape == (2 * TITLE + 15, COLUMNS // 2 * (SIDE + 2 * EDGE), 3)
    assert not picture[TITLE : TITLE + 10, :30].any()
    assert not picture[2 * TITLE + 10 :, :20].any()
