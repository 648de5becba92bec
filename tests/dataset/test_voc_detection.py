"""VOC's boxes from a small tree of its layout."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.voc_detection import VocDetection

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training images and one to test on."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / name).mkdir(parents=True)
    objects = [
        "".join([OBJECT.format("dog", 0, 1, 1, 40, 20), OBJECT.format("cat", 1, 5, 6, 9, 10)])
    ]
    objects += ["", OBJECT.format("tvmonitor", 0, 1, 1, 1, 1)]
    for i, text in enumerate(objects):
        Image.new("RGB", (40, 20)).save(base / "JPEGImages" / f"{i}.jpg")
        (base / "Annotations" / f"{i}.xml").write_text(f"<annotation>{text}</annotation>")
    (base / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    (base / "ImageSets" / "Main" / "val.txt").write_text("2\n")
    return tmp_path


def opened(root: Path, **settings: Any) -> Data:
    given = {"size": [20, 40], "val_fraction": 0.0, "cache": None, **settings}
    return VocDetection(root=str(root), **given).open(0)


def test_boxes_are_read(root: Path) -> None:
    """Pixels are counted from 1, both ends included; what is difficult counts nothing."""
    data = opened(root)
    assert (len(data.train), len(data.test)) == (2, 1)
    assert (len(data.classes), data.classes[0], data.classes[19]) == (20, "aeroplane", "tvmonitor")
    assert data.train.labels.tolist() == [
        [[12, 0, 0, 40, 20], [-8, 4, 5, 9, 10]],
        [[0] * 5] * 2,
        [[20, 0, 0, 1, 1], [0] * 5],
    ]
    assert data.train.images.read([1]).shape == (1, 3, 20, 40)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<annotation>", r"0\.xml is no label file of VOC"),
        ("<a><object><name>cow</name></object></a>", r"0\.xml has a box that is|is not finite"),
        (f"<a>{OBJECT.format('unicorn', 0, 1, 1, 2, 2)}</a>", "no class 'unicorn'"),
        (f"<a>{OBJECT.format('cow', 0, 'x', 1, 2, 2)}</a>", "could not convert"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "has a document type"),
    ],
)
def test_what_is_wrong_with_a_label_file_is_said_in_a_line(root, text: str, fault: str) -> None:
    (root / "VOCdevkit" / "VOC2012" / "Annotations" / "0.xml").write_text(text)
    with pytest.raises(DataError, match=fault) as raised:
        opened(root)
    assert "\n" not in str(raised.value)


def test_a_missing_year_is_a_data_error(root: Path) -> None:
    with pytest.raises(DataError, match="VOCDetection is missing"):
        opened(root, year=2007)


def test_sets_that_are_not_public_or_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset\.test=test .*2007 alone, got 2012"):
        VocDetection(test="test")
    with pytest.raises(ValueError, match=r"dataset\.train=trainval holds val"):
        VocDetection(year=2007, train="trainval")
