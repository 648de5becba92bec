"""Oxford-IIIT Pet from a small tree of its layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from trainer.core.errors import DataError
from trainer.dataset.oxford_pet import OxfordPet

BREEDS = ("Abyssinian", "american_bulldog", "Bengal")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """30 + 6 images of three breeds; a trimap has 1, 2 and 3 in its thirds."""
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations" / "trimaps").mkdir(parents=True)
    for name, number in (("trainval", 30), ("test", 6)):
        lines = []
        for i in range(number):
            breed = i % 3
            stem = f"{BREEDS[breed]}_{name}{i}"
            Image.new("RGB", (12, 9), (0, 7 * i, 0)).save(base / "images" / f"{stem}.jpg")
            trimap = np.repeat(np.arange(1, 4, dtype=np.uint8), 3)[:, None].repeat(12, 1)
            Image.fromarray(trimap).save(base / "annotations" / "trimaps" / f"{stem}.png")
            lines.append(f"{stem} {breed + 1} 1 1\n")
        (base / "annotations" / f"{name}.txt").write_text("".join(lines))
    return tmp_path


def test_trimaps_are_read(root: Path) -> None:
    """1, 2, 3 in the files become 0, 1, 2."""
    data = OxfordPet(root=str(root), size=9).open(0)
    assert (len(data.train), len(data.val), len(data.test)) == (27, 3, 6)
    assert data.classes == ("pet", "background", "border")
    assert data.target == "mask"
    assert data.train.labels.dtype == torch.uint8
    assert data.train.labels[4, :, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.class_counts().tolist() == [27 * 27] * 3


def test_breeds_are_read(root: Path) -> None:
    data = OxfordPet(root=str(root), size=9, target="category").open(0)
    reference = OxfordIIITPet(root, split="test")
    assert data.classes == tuple(reference.classes) == ("Abyssinian", "American Bulldog", "Bengal")
    assert data.target == "class"
    assert data.class_counts().tolist() == [9, 9, 9]
    assert data.test.labels.tolist() == [reference[i][1] for i in range(6)]
    green = data.test.images.read([5])[0, 1]
    assert (green.int() - 35).abs().max() <= 3  # a JPEG
    kept = OxfordPet(root=str(root), size=9, target="category", classes=["Bengal", 0]).open(0)
    assert kept.class_counts().tolist() == [9, 9]


def test_a_damaged_list_is_named(root: Path) -> None:
    (root / "oxford-iiit-pet" / "annotations" / "test.txt").write_text("Bengal_1\n")
    with pytest.raises(DataError, match=r"cannot read .*annotations/test\.txt"):
        OxfordPet(root=str(root)).open(0)
