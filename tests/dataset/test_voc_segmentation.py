"""VOC from a small tree of its layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import train

from trainer.core.errors import DataError
from trainer.dataset.voc_segmentation import VocSegmentation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """10 training and 4 test images of 12 × 8 pixels; mask i is i with a border of 255."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / name).mkdir(parents=True)
    for i in range(14):
        Image.new("RGB", (12, 8), (10 * i, 0, 0)).save(base / "JPEGImages" / f"{i}.jpg")
        ids = np.full((8, 12), i, np.uint8)
        ids[:, 5:7] = 255
        mask = Image.fromarray(ids).convert("P")
        mask.putdata(ids.flatten().tolist())
        mask.save(base / "SegmentationClass" / f"{i}.png")
    lists = base / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("".join(f"{i}\n" for i in range(10)))
    (lists / "val.txt").write_text("".join(f"{i}\n" for i in range(10, 14)))
    return tmp_path


def test_splits_and_labels_are_read(root: Path) -> None:
    data = VocSegmentation(root=str(root), size=8, val_fraction=0.2).open(0)
    assert data.shape == (3, 8, 8)
    assert (len(data.train), len(data.val), len(data.test)) == (8, 2, 4)
    assert len(data.classes) == 21
    assert (data.classes[0], data.classes[15], data.classes[20]) == (
        "background",
        "person",
        "tvmonitor",
    )
    assert data.target == "mask"
    assert data.train.labels.dtype == torch.uint8
    assert data.train.labels[6, 0].tolist() == [6, 6, 6, 255, 255, 6, 6, 6]
    assert data.test.labels[2].unique().tolist() == [12, 255]
    red = data.test.images.read([2])[0, 0]
    assert (red.int() - 120).abs().max() <= 3  # a JPEG


def test_the_border_counts_for_no_class(root: Path) -> None:
    """Of 64 pixels of each training image 48 are of its class."""
    data = VocSegmentation(root=str(root), size=8, val_fraction=0.0).open(0)
    assert data.class_counts().tolist() == [48] * 10 + [0] * 11


def test_a_missing_year_is_a_data_error(root: Path) -> None:
    with pytest.raises(DataError, match="VOCSegmentation is missing"):
        VocSegmentation(root=str(root), year=2007).open(0)


def test_a_missing_mask_is_named(root: Path) -> None:
    (root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "3.png").unlink()
    with pytest.raises(DataError, match=r"SegmentationClass/3\.png"):
        VocSegmentation(root=str(root)).open(0)


@pytest.mark.parametrize(("part", "name"), [(range(10), "training"), (range(10, 14), "test")])
def test_a_split_whose_masks_are_all_ignored_is_refused(root: Path, part: range, name: str) -> None:
    for i in part:
        path = root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / f"{i}.png"
        Image.new("L", (12, 8), 255).save(path)
    arguments = ["dataset=voc_segmentation", f"dataset.root={root}", "dataset.size=8", "model=unet"]
    arguments += ["task=segmentation", "epochs=1", "quiet=true", "device=cpu"]
    with pytest.raises(DataError, match=rf"every pixel of the {name} masks is task\.ignore_index"):
        train(root / "run", *arguments)
