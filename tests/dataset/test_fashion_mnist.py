"""Fashion-MNIST: MNIST's format, another folder."""

import struct
from pathlib import Path

import numpy as np

from trainer.dataset.fashion_mnist import FashionMnist


def test_splits_labels_and_statistics_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, number in (("train", 50), ("t10k", 10)):
        images = np.broadcast_to(np.arange(number)[:, None, None], (number, 28, 28))
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(number) % 10)):
            head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())

    data = FashionMnist(root=str(tmp_path), val_fraction=0.2).open(0)
    assert data.shape == (1, 28, 28)
    assert (len(data.train), len(data.val), len(data.test)) == (40, 10, 10)
    assert data.class_counts().tolist() == [4] * 10
    assert (data.classes[0], data.classes[9]) == ("T-shirt/top", "Ankle boot")
    assert data.train.images.read([7]).unique().tolist() == [7]
    assert data.test.labels[3] == 3
    assert (data.mean, data.std) == ((0.2860,), (0.3530,))
