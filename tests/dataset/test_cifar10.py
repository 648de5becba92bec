"""CIFAR-10 from small files of its format, without torchvision's checksums."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, cifar

from trainer.core.errors import DataError
from trainer.dataset.cifar10 import Cifar10

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with 5 · 20 + 10 random images."""
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5: Path(path).is_file())
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    parts = {f"data_batch_{i}": 20 for i in range(1, 6)} | {"test_batch": 10}
    for name, number in parts.items():
        pixels = rng.integers(0, 256, (number, 3072), np.uint8)
        labels = (np.arange(number) % 10).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}))
    return tmp_path


def test_splits_labels_and_statistics_are_read(root: Path) -> None:
    data = Cifar10(root=str(root)).open(0)
    assert data.shape == (3, 32, 32)
    assert (len(data.train), len(data.val), len(data.test)) == (90, 10, 10)
    assert data.class_counts().tolist() == [9] * 10
    assert data.classes == tuple(NAMES)
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2470, 0.2435, 0.2616)


@pytest.mark.parametrize(("name", "number"), [("train", 100), ("test", 10)])
def test_images_and_labels_are_those_of_torchvision(root: Path, name: str, number: int) -> None:
    split = getattr(Cifar10(root=str(root)).open(0), name)
    reference = CIFAR10(root, train=name == "train")
    images = split.images.read(range(number))
    assert images.dtype == torch.uint8
    for i in (0, 7, number - 1):
        image, label = reference[i]
        assert np.array_equal(images[i].permute(1, 2, 0).numpy(), np.asarray(image))
        assert split.labels[i] == label


def test_classes_are_selected_by_name(root: Path) -> None:
    data = Cifar10(root=str(root), classes=["dog", "cat"]).open(0)
    assert data.class_counts().tolist() == [9, 9]
    assert (len(data.val), len(data.test)) == (2, 2)


def test_a_missing_file_is_a_data_error(root: Path) -> None:
    (root / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(DataError, match="CIFAR10 is missing or damaged under"):
        Cifar10(root=str(root)).open(0)
