"""Boxes in pixels of files, brought to the size of the images that a model sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset.shared.box_files import placed
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.letterbox import Fit


def files(folder: Path, *sizes: tuple[int, int], way: Fit = "pad") -> ImageFiles:
    """Grey images of heights and widths, read as 20 x 40."""
    paths = []
    for i, (height, width) in enumerate(sizes):
        paths.append(folder / f"{i}.png")
        Image.new("L", (width, height)).save(paths[-1])
    return ImageFiles(paths, (20, 40), 1, way=way)


def box(*values: float) -> np.ndarray:
    return np.array(values, float).reshape(-1, 5)


def test_boxes_by_hand(tmp_path: Path) -> None:
    """40 x 80 is halved; 40 x 40 becomes 20 x 20 with 10 pixels on each side."""
    images = files(tmp_path, (40, 80), (40, 40), (20, 40))
    rows = [box(1, 0, 0, 80, 40, 2, 10, 20, 30, 40), box(-3, 4, 8, 20, 40), box()]
    labels, note = placed(rows, images, 2)
    assert labels.tolist() == [
        [[1, 0, 0, 40, 20], [2, 5, 10, 15, 20]],
        [[-3, 12, 4, 20, 20], [0] * 5],
        [[0] * 5] * 2,
    ]
    assert note == ()


def test_a_bright_box_is_where_its_label_is(tmp_path: Path) -> None:
    pixels = np.zeros((60, 50), np.uint8)
    pixels[12:36, 10:40] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    for way in ("pad", "cover"):
        images = ImageFiles([tmp_path / "x.png"], (20, 40), 1, way=way)
        labels, _ = placed([box(1, 10, 12, 40, 36)], images, 1)
        rows, columns = (images.read([0])[0, 0] > 127).nonzero().unbind(1)
        bright = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        got = labels[0, 0, 1:].tolist()
        assert [float(v) for v in bright] == pytest.approx(got, abs=0.6)


def test_fractions_are_of_the_image_without_its_bars(tmp_path: Path) -> None:
    images = files(tmp_path, (40, 40))
    labels, _ = placed([box(1, 0, 0, 1, 0.5)], images, 1, relative=True)
    assert labels.tolist() == [[[1, 10, 0, 30, 10]]]


def test_boxes_are_cut_at_the_border_and_left_out_without_an_area(tmp_path: Path) -> None:
    images = files(tmp_path, (20, 40))
    rows = [box(1, -5, -5, 10, 10, 2, 5, 5, 5, 9, 3, 41, 0, 50, 20)]
    labels, note = placed(rows, images, 3)
    assert labels.tolist() == [[[1, 0, 0, 10, 10]]]
    assert note == ("2 boxes without an area left out",)


def test_what_cropping_leaves_of_a_box_decides_whether_it_counts(tmp_path: Path) -> None:
    """40 x 40 becomes 40 x 40, of which rows 10 to 30 are seen."""
    images = files(tmp_path, (40, 40), way="cover")
    rows = [box(1, 0, 0, 10, 20, 2, 0, 0, 10, 12, 3, 0, 0, 10, 10)]
    labels, note = placed(rows, images, 3)
    assert labels.tolist() == [[[1, 0, 0, 10, 10], [-2, 0, 0, 10, 2]]]
    assert note == ()


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (box(1, 0, 0, 9, 9, 1, 0, 0, 9, 9), r"0\.png has 2 boxes, more than dataset.max_boxes=1;"),
        (box(1, 0, float("nan"), 9, 9), r"0\.png has a box that is not finite"),
    ],
)
def test_the_image_with_a_wrong_box_is_named(tmp_path: Path, rows, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        placed([rows], files(tmp_path, (20, 40)), 1)


def test_labels_of_images_without_any_box_have_a_row(tmp_path: Path) -> None:
    labels, _ = placed([box(), box()], files(tmp_path, (20, 40), (20, 40)), 5)
    assert torch.equal(labels, torch.zeros(2, 1, 5))
