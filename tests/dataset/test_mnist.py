"""MNIST: intact, missing and damaged files, and a failed download. No test uses the network."""

import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import mnist as torchvisions

from trainer.core.errors import DataError
from trainer.dataset.mnist import Mnist


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of http://yann.lecun.com/exdb/mnist: magic 0x08 and dimensions, big-endian."""
    head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def tiny_root(tmp_path: Path) -> Path:
    """A root with 50 + 10 images in MNIST's format; every pixel of image i is i."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, number in (("train", 50), ("t10k", 10)):
        images = np.broadcast_to(np.arange(number)[:, None, None], (number, 28, 28))
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(number) % 10)
    return tmp_path / "data"


def test_splits_and_labels_are_read(tiny_root: Path) -> None:
    data = Mnist(root=str(tiny_root), val_fraction=0.2).open(0)
    assert data.shape == (1, 28, 28)
    assert (len(data.train), len(data.val), len(data.test)) == (40, 10, 10)
    assert data.class_counts().tolist() == [4] * 10
    assert data.train.images.read([7]).unique().tolist() == [7]
    assert data.test.images.read([3]).unique().tolist() == [3]
    assert data.train.labels[17] == 7
    assert data.classes == tuple("0123456789")


def test_the_validation_split_is_drawn_by_the_seed(tiny_root: Path) -> None:
    first, second = (Mnist(root=str(tiny_root)).open(seed) for seed in (0, 1))
    assert not torch.equal(first.val.ids, second.val.ids)
    assert not set(first.val.ids.tolist()) & set(first.train.ids.tolist())
    assert torch.equal(first.test.ids, second.test.ids)


def test_missing_data_is_reported_in_one_line(tmp_path: Path) -> None:
    root = tmp_path / "no" / "data"
    with pytest.raises(DataError) as caught:
        Mnist(root=str(root)).open(0)
    text = str(caught.value)
    assert f"dataset.root={root}" in text
    assert "download=true" in text
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"<html>no such page</html>", b"\x00\x00\x08\x03\x00\x00"])
def test_damaged_files_are_a_data_error(tiny_root: Path, body: bytes) -> None:
    (tiny_root / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(body)
    with pytest.raises(DataError, match="MNIST is missing or damaged under"):
        Mnist(root=str(tiny_root)).open(0)
    assert (tiny_root / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes() == body


def test_a_truncated_file_is_a_data_error(tiny_root: Path) -> None:
    path = tiny_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        Mnist(root=str(tiny_root)).open(0)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every download fail after writing half a file."""

    def fail(url: str, download_root: str, filename: str, **_: object) -> None:
        (Path(download_root) / filename).write_bytes(b"half")
        raise URLError("no network")

    monkeypatch.setattr(torchvisions, "download_and_extract_archive", fail)


@pytest.mark.usefixtures("no_network")
def test_a_failed_download_leaves_no_folder(tmp_path: Path) -> None:
    root = tmp_path / "no" / "data"
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        Mnist(root=str(root), download=True).open(0)
    assert f"dataset.root={root}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
def test_a_failed_download_keeps_existing_files(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("kept")
    with pytest.raises(DataError, match="could not be downloaded"):
        Mnist(root=str(tmp_path), download=True).open(0)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "file"]


@pytest.mark.usefixtures("no_network")
def test_existing_data_is_not_downloaded(tiny_root: Path) -> None:
    assert len(Mnist(root=str(tiny_root), download=True).open(0).test) == 10


@pytest.mark.data
def test_the_real_data(mnist_root: str) -> None:
    data = Mnist(root=mnist_root).open(0)
    assert (len(data.train), len(data.val), len(data.test)) == (54_000, 6_000, 10_000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.train.labels.bincount()[[1, 5]].tolist() == [6742, 5421]
    share = data.val.labels[data.val.ids].bincount() / data.train.labels.bincount()
    assert (share - 0.1).abs().max() < 1e-3
    pixels = data.train.images.read(range(60_000)).float() / 255
    assert pixels.mean().item() == pytest.approx(data.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(data.std[0], abs=1e-4)
