"""SVHN from small files of its format."""

from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import SVHN, svhn

from trainer.core.errors import DataError
from trainer.dataset.svhn import Svhn

scipy_io = pytest.importorskip("scipy.io")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with 40 + 20 + 30 random images; the files label the digit 0 as 10."""
    monkeypatch.setattr(svhn, "check_integrity", lambda path, md5: Path(path).is_file())
    for seed, (name, number) in enumerate([("train", 40), ("test", 20), ("extra", 30)]):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3, number), np.uint8)
        labels = np.arange(number, dtype=np.uint8)[:, None] % 10 + 1
        scipy_io.savemat(tmp_path / f"{name}_32x32.mat", {"X": pixels, "y": labels})
    return tmp_path


def test_splits_and_labels_are_read(root: Path) -> None:
    data = Svhn(root=str(root), val_fraction=0.25).open(0)
    assert data.shape == (3, 32, 32)
    assert (len(data.train), len(data.val), len(data.test)) == (30, 10, 20)
    assert data.train.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.class_counts().tolist() == [3] * 10
    image, label = SVHN(root, split="test")[13]
    assert np.array_equal(data.test.images.read([13])[0].permute(1, 2, 0).numpy(), image)
    assert data.test.labels[13] == label


def test_the_extra_images_are_appended_to_the_training_source(root: Path) -> None:
    """Appended, so that ids stay the same: id 40 + i is the extra image i."""
    plain, data = (Svhn(root=str(root), extra=e, val_fraction=0.1).open(0) for e in (False, True))
    assert (len(data.train), len(data.val), len(data.test)) == (63, 7, 20)
    assert np.array_equal(data.train.images.read([39]), plain.train.images.read([39]))
    image, label = SVHN(root, split="extra")[5]
    assert np.array_equal(data.train.images.read([45])[0].permute(1, 2, 0).numpy(), image)
    assert data.train.labels[45] == label


def test_only_the_files_in_use_must_exist(root: Path) -> None:
    (root / "extra_32x32.mat").unlink()
    assert len(Svhn(root=str(root)).open(0).test) == 20
    with pytest.raises(DataError, match="SVHN is missing"):
        Svhn(root=str(root), extra=True).open(0)


def test_a_missing_scipy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.dataset.svhn.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"dataset=svhn needs .*: pip install -e '\.\[svhn\]'"):
        Svhn()
