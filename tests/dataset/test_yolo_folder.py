"""YOLO's layouts, and label files that are wrong."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.yolo_folder import YoloFolder


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20)).save(path)


def label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("train/a", "train/b", "val/c"):
        picture(tmp_path / "images" / f"{name}.jpg")
    label(tmp_path / "labels" / "train" / "a.txt", "1 0.5 0.5 0.5 0.5\n\n0 0.9 0.9 0.2 0.2\n")
    label(tmp_path / "labels" / "val" / "c.txt", "")
    (tmp_path / "data.yaml").write_text("nc: 2\nnames:\n  0: cat\n  1: dog\n")
    return tmp_path


def opened(root: Path, **settings: Any) -> Data:
    given = {"size": [20, 40], "test_fraction": 0.0, "cache": None, **settings}
    return YoloFolder(root=str(root), **given).open(0)


def test_boxes_and_classes_are_read(root: Path) -> None:
    """b has no label file, c an empty one: both have no boxes. The border cuts a box."""
    data = opened(root)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (2, 1)
    rows = [[2, 10, 5, 30, 15], [1, 32, 16, 40, 20]]
    assert data.train.labels[0].flatten().tolist() == pytest.approx(
        [v for row in rows for v in row]
    )
    assert data.train.labels[1:].abs().sum() == 0


def test_splits_above_the_folders_of_images(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("train", "valid"):
        picture(other / name / "images" / "x.jpg")
        label(other / name / "labels" / "x.txt", "0 0.5 0.5 1 1")
    (other / "classes.txt").write_text("person\n")
    data = opened(other, names="classes.txt")
    assert data.classes == ("person",)
    assert data.train.labels.tolist() == [[[1, 0, 0, 40, 20]]] * 2
    assert (len(data.train), len(data.val)) == (1, 1)


def test_one_folder_of_images_is_divided(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / "images" / f"{i}.jpg")
        label(tmp_path / "labels" / f"{i}.txt", "0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text("names: [a]")
    data = opened(tmp_path, val_fraction=0.2)
    assert (len(data.train), len(data.val)) == (8, 2)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0 0.5 0.5 1", r"a\.txt, line 1: 4 numbers; a box has five"),
        ("0 0.5 0.5 1 1\n2 0.5 0.5 1 1", r"line 2: class 2 is not one from 0 to 1"),
        ("0 0.5 x 1 1", r"line 1: could not convert string to float: 'x'"),
        ("0 0.5 0.5 1 1.5", r"line 1: the numbers of a box are fractions from 0 to 1"),
        ("0 nan 0.5 1 1", r"line 1: the numbers of a box are fractions"),
        ("\udcff", r"cannot read .*a\.txt"),
    ],
)
def test_what_is_wrong_with_a_label_file_is_said_by_its_line(root, text: str, fault: str) -> None:
    file = root / "labels" / "train" / "a.txt"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=fault) as raised:
        opened(root)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("names: {", r"data\.yaml is no YAML"),
        ("names: &a [x, *a]", r"data\.yaml: \*a is inside the node that it refers to"),
        (f"names: [x, 0x{'F' * 5000}]", r"data\.yaml: a number of more than 100 characters"),
        (f"names: [x, 1{':1' * 300_000}]", r"data\.yaml: a number of more than 100 characters"),
        ("names: [x, !!binary y]", r"data\.yaml: it has a tag"),
        ("nc: 2", r"data\.yaml has no list of classes called names"),
        ("names: [a, a]", r"data\.yaml has two classes of a name"),
        ("names: {0: a, 2: b}", r"has no list of classes"),
        ("[" * 3000, r"data\.yaml: nested more than 50 deep"),
    ],
)
def test_what_is_wrong_with_the_names_is_said_in_a_line(root, text: str, fault: str) -> None:
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=fault) as raised:
        opened(root)
    assert "\n" not in str(raised.value)


def test_names_are_text_as_it_is_written(root: Path) -> None:
    """YAML takes `no` for false, and 1:30 for 90."""
    (root / "data.yaml").write_text("names: [no, 1:30]")
    assert opened(root).classes == ("no", "1:30")


def test_folders_that_are_missing_are_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").rename(tmp_path / "text")
    with pytest.raises(DataError, match=r"images/train has no labels: .* no folder .*labels/train"):
        opened(root)
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"has no folder images/train.*dataset\.root"):
        opened(root)
