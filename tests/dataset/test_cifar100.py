"""CIFAR-100 from small files of its format."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100, cifar

from trainer.dataset.cifar100 import Cifar100


def test_the_fine_labels_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5: Path(path).is_file())
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, number in (("train", 200), ("test", 100)):
        pixels = np.random.default_rng(0).integers(0, 256, (number, 3072), np.uint8)
        fine, coarse = (np.arange(number) % 100).tolist(), [0] * number
        content = {"data": pixels, "fine_labels": fine, "coarse_labels": coarse}
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f"class {i}" for i in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))

    data = Cifar100(root=str(tmp_path), val_fraction=0.5).open(0)
    assert data.classes == tuple(names)
    assert data.class_counts().tolist() == [1] * 100
    assert data.val.labels[data.val.ids].bincount().tolist() == [1] * 100
    image, label = CIFAR100(tmp_path)[142]
    assert np.array_equal(data.train.images.read([142])[0].permute(1, 2, 0).numpy(), image)
    assert data.train.labels[142] == label == 42
    assert (data.mean[0], data.std[0]) == (0.5071, 0.2673)
