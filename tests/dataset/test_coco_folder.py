"""COCO's layout, and label files that are wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.coco_folder import CocoFolder

CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}]


def content(names: list[str], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    images = [
        {"id": i, "file_name": name, "width": 40, "height": 20} for i, name in enumerate(names)
    ]
    numbered = [{"id": i, **each} for i, each in enumerate(annotations)]
    return {"images": images, "annotations": numbered, "categories": CATEGORIES}


def write(path: Path, labels: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(labels))


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (40, 20)).save(folder / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three training images, of which the second has no box, and one for validation."""
    pictures(tmp_path / "train2017", "a.jpg", "b.jpg", "c.jpg")
    pictures(tmp_path / "val2017", "d.jpg")
    boxes = [
        {"image_id": 0, "category_id": 90, "bbox": [4, 2, 10, 8], "iscrowd": 0},
        {"image_id": 0, "category_id": 3, "bbox": [0, 0, 40, 20], "iscrowd": 1},
        {"image_id": 2, "category_id": 3, "bbox": [1.5, 2, 3, 4]},
    ]
    folder = tmp_path / "annotations"
    write(folder / "instances_train2017.json", content(["a.jpg", "b.jpg", "c.jpg"], boxes))
    write(folder / "captions_train2017.json", {})
    val = content(["d.jpg"], [{"image_id": 0, "category_id": 3, "bbox": [0, 0, 10, 10]}])
    write(folder / "instances_val2017.json", val)
    return tmp_path


def opened(root: Path, **settings: Any) -> Data:
    given = {"size": [20, 40], "test_fraction": 0.0, "cache": None, **settings}
    return CocoFolder(root=str(root), **given).open(0)


def test_boxes_classes_and_crowds_are_read(root: Path) -> None:
    """Classes are by id: cat is 1 and dog 2."""
    data = opened(root)
    assert data.target == "boxes"
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (3, 1, 0)
    assert data.train.labels.tolist() == [
        [[2, 4, 2, 14, 10], [-1, 0, 0, 40, 20]],
        [[0] * 5] * 2,
        [[1, 1.5, 2, 4.5, 6], [0] * 5],
        [[1, 0, 0, 10, 10], [0] * 5],
    ]
    assert data.train.images is data.val.images
    assert data.class_counts().tolist() == [1, 1]
    assert data.shape == (3, 20, 40)


def test_images_are_padded_to_a_square_by_default(root: Path) -> None:
    data = opened(root, size=20)
    assert data.train.labels[0, 0].tolist() == [2, 2, 6, 7, 10]
    assert data.train.images.read([0])[0, :, :5].sum() == 0


def test_label_files_among_the_images(root: Path, tmp_path: Path) -> None:
    """Each split is a folder with its label file, as some tools export it."""
    other = tmp_path / "other"
    for name in ("train", "valid"):
        pictures(other / name, "x.jpg")
        write(other / name / "_annotations.coco.json", content(["x.jpg"], []))
    data = opened(other)
    assert (len(data.train), len(data.val)) == (1, 1)
    assert torch.equal(data.train.labels, torch.zeros(2, 1, 5))


def test_label_files_and_the_folder_of_images_by_name(root: Path) -> None:
    pictures(root / "val2017", "a.jpg", "b.jpg", "c.jpg")
    settings = {"train": "annotations/instances_train2017.json", "val": None, "images": "val2017"}
    data = opened(root, **settings, val_fraction=0.0)
    assert data.train.images.paths[0].endswith("val2017/a.jpg")  # pyright: ignore


def test_several_label_files_for_a_split_are_named(root: Path) -> None:
    write(root / "annotations" / "small_train.json", content([], []))
    with pytest.raises(
        DataError, match=r"several label files for train: instances.*dataset\.train"
    ):
        opened(root)


def test_a_tree_without_label_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label file for training in .*dataset\.train names"):
        opened(tmp_path)


BOX = {"image_id": 0, "category_id": 3, "bbox": [0, 0, 9, 9]}
WRONG = {
    "is no JSON": "{",
    "has no mapping": [],
    "has no list of mappings called categories": {"images": [], "annotations": []},
    "has no images or two of an id": content([], []),
    "annotation 0 is of no image": content(["a.jpg"], [BOX | {"image_id": 7}]),
    "annotation 0 is of no category": content(["a.jpg"], [BOX | {"category_id": 4}]),
    "annotation 0 has no bbox of four numbers": content(["a.jpg"], [BOX | {"bbox": [1, 2, 3]}]),
    "bbox of four": content(["a.jpg"], [BOX | {"bbox": [float("nan"), 0, 1, 1]}]),
    "four numbers": content(["a.jpg"], [BOX | {"bbox": [10**400, 0, 1, 1]}]),
    "names gone.jpg, which .*train2017 lacks": content(["a.jpg", "gone.jpg"], []),
    "names x{9}.*, which .*train2017 lacks": content(["a.jpg", "x" * 5000], []),
    "the image x{9}.* is in none of": content(["x" * 5000], []),
    "byte 0x00 is not text": "{" + "\0" * 100,
    "a.jpg is listed twice": content(["a.jpg", "a.jpg"], []),
    "two categories of a name": content(["a.jpg"], [])
    | {"categories": [*CATEGORIES, {"id": 1, "name": "cat"}]},
}


@pytest.mark.parametrize(("fault", "labels"), WRONG.items(), ids=list(WRONG))
def test_what_is_wrong_with_a_label_file_is_said_in_a_line(root: Path, fault: str, labels) -> None:
    file = root / "annotations" / "instances_train2017.json"
    file.write_text(labels if isinstance(labels, str) else json.dumps(labels))
    with pytest.raises(DataError, match=fault) as raised:
        opened(root)
    assert "\n" not in str(raised.value)


def test_other_categories_for_validation_are_refused(root: Path) -> None:
    val = content(["d.jpg"], []) | {"categories": CATEGORIES[:1]}
    write(root / "annotations" / "instances_val2017.json", val)
    with pytest.raises(DataError, match=r"val2017.json has other categories than the training"):
        opened(root)


def test_a_pipe_in_place_of_a_label_file_or_an_image_does_not_wait(root: Path) -> None:
    (root / "train2017" / "b.jpg").unlink()
    os.mkfifo(root / "train2017" / "b.jpg")
    with pytest.raises(DataError, match=r"names b\.jpg, which .* lacks"):
        opened(root)
    file = root / "annotations" / "instances_train2017.json"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"cannot read .*not a regular file"):
        opened(root, train="annotations/instances_train2017.json")
