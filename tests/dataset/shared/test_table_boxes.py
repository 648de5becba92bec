"""Boxes in a table: a row a box."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.csv import Csv

COLUMNS = ["x0", "y0", "x1", "y1"]
HEADER = "path,label,x0,y0,x1,y1"


def opened(folder: Path, text: str, **settings: Any) -> Data:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (40, 20)).save(folder / name)
    (folder / "boxes.csv").write_text(text)
    given = {"size": [20, 40], "val_fraction": 0.0, "test_fraction": 0.0, "cache": None} | settings
    return Csv(file=str(folder / "boxes.csv"), box_columns=COLUMNS, **given).open(0)


def test_the_rows_of_an_image_are_its_boxes(tmp_path: Path) -> None:
    """In any order; b has none, and the first row of c comes before the second of a."""
    rows = ["a.png,dog,1,2,3,4,", "b.png,,,,,,", "c.png,cat,0,0,40,20,1", "a.png,cat,5,6,7.5,8,0"]
    text = "\n".join([f"{HEADER},crowd", *rows])
    data = opened(tmp_path, text)
    assert data.target == "boxes"
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [
        [[2, 1, 2, 3, 4], [1, 5, 6, 7.5, 8]],
        [[0] * 5] * 2,
        [[-1, 0, 0, 40, 20], [0] * 5],
    ]
    assert [Path(p).name for p in data.train.images.paths] == ["a.png", "b.png", "c.png"]  # pyright: ignore


def test_splits_are_those_of_the_images(tmp_path: Path) -> None:
    text = f"{HEADER},split\na.png,x,0,0,9,9,train\na.png,x,1,1,9,9,train\nb.png,x,0,0,9,9,test"
    data = opened(tmp_path, text)
    assert (len(data.train), len(data.test)) == (1, 1)
    with pytest.raises(DataError, match=r"line 3: column split differs from line 2, of the same"):
        opened(tmp_path, text.replace("9,9,train\nb", "9,9,val\nb"))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.png,x,0,0,9,", r"line 2: an edge of the box is not a number: could not convert"),
        ("a.png,x,9,0,0,9", r"line 2: the edges \[9, 0, 0, 9\] are not x0 <= x1 and y0 <= y1"),
        ("a.png,x,0,0,inf,9", r"line 2: the edges \[0, 0, inf, 9\] are not"),
        ("a.png,,0,0,9,9", r"line 2: a box without a label"),
        ("gone.png,x,0,0,9,9", r"1 of 1 file .*gone\.png \(line 2\)"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path: Path, row: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        opened(tmp_path, f"{HEADER}\n{row}")


def test_too_many_boxes_name_the_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png has 2 boxes, more than dataset\.max_boxes=1;"):
        opened(tmp_path, f"{HEADER}\na.png,x,0,0,9,9\na.png,x,1,1,9,9", max_boxes=1)


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"dataset\.box_columns must name four columns"):
        Csv(box_columns=["x0", "y0", "x1"])
    with pytest.raises(ValueError, match=r"dataset\.box_columns needs the class .* in one column"):
        Csv(box_columns=COLUMNS, label_separator=";")
