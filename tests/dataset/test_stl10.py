"""STL-10 from small files of its format: column-major, labels from 1."""

from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import STL10, stl10

from trainer.dataset.stl10 import Stl10


def test_the_labelled_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stl10, "check_integrity", lambda path, md5: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for name, number in (("train", 20), ("test", 30)):
        pixels = np.random.default_rng(number).integers(0, 256, (number, 3, 96, 96), np.uint8)
        pixels[:, :, 3, 60] = np.arange(number)[:, None]  # row 3, column 60
        pixels.transpose(0, 1, 3, 2).tofile(folder / f"{name}_X.bin")
        (np.arange(number) % 10 + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")

    data = Stl10(root=str(tmp_path), val_fraction=0.5).open(0)
    assert data.shape == (3, 96, 96)
    assert (len(data.train), len(data.val), len(data.test)) == (10, 10, 30)
    assert data.class_counts().tolist() == [1] * 10
    assert (data.classes[0], data.classes[9]) == ("airplane", "truck")
    assert data.train.images.read([7])[0, :, 3, 60].tolist() == [7, 7, 7]
    image, label = STL10(str(tmp_path), split="test")[17]
    assert np.array_equal(data.test.images.read([17])[0].permute(1, 2, 0).numpy(), image)
    assert data.test.labels[17] == label == 7
