"""Data sets that are missing or downloaded, and downloads that fail. No test uses the network."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets

from trainer.core.errors import DataError
from trainer.dataset.cifar10 import Cifar10
from trainer.dataset.cifar100 import Cifar100
from trainer.dataset.fashion_mnist import FashionMnist
from trainer.dataset.mnist import Mnist
from trainer.dataset.oxford_pet import OxfordPet
from trainer.dataset.shared.torchvision import TorchvisionDataset, download, move, split_of
from trainer.dataset.stl10 import Stl10
from trainer.dataset.svhn import Svhn
from trainer.dataset.voc_segmentation import VocSegmentation

ALL = [Mnist, FashionMnist, Cifar10, Cifar100, Svhn, Stl10, VocSegmentation, OxfordPet]
each = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


@each
def test_missing_data_is_reported_in_one_line(
    make: type[TorchvisionDataset], tmp_path: Path
) -> None:
    root = tmp_path / "no" / "data"
    with pytest.raises(DataError) as caught:
        make(root=str(root)).open(0)
    text = str(caught.value)
    assert f"dataset.root={root}" in text
    assert text.endswith("set dataset.root to its folder, or dataset.download=true")
    assert "\n" not in text
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every download fail after writing half a file."""

    def fail(url: str, root: str = "", *_: object, download_root: str = "", **__: object) -> None:
        folder = Path(download_root or root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "half").write_bytes(b"half")
        raise URLError("no network")

    for module in ("mnist", "cifar", "svhn", "stl10", "voc", "oxford_iiit_pet"):
        name = "download_url" if module == "svhn" else "download_and_extract_archive"
        monkeypatch.setattr(getattr(datasets, module), name, fail)


@each
@pytest.mark.usefixtures("no_network")
def test_a_failed_download_leaves_nothing(make: type[TorchvisionDataset], tmp_path: Path) -> None:
    root = tmp_path / "no" / "data"
    with pytest.raises(DataError, match=r"could not be downloaded .*; check the network"):
        make(root=str(root), download=True).open(0)
    assert list(tmp_path.iterdir()) == []


class FakeData:
    """A data set of one file; `meanwhile` runs during its download."""

    meanwhile: Callable[[Path], None] | None = None
    fails = False
    downloads = 0

    def __init__(self, root: str, *, download: bool) -> None:
        path = Path(root) / "fake" / "data"
        if download:
            FakeData.downloads += 1
            path.parent.mkdir()
            path.write_text("half")
            if FakeData.meanwhile is not None:
                FakeData.meanwhile(Path(root).parent)
            if FakeData.fails:
                raise URLError("no network")
            path.write_text("whole")
        if not path.is_file() or path.read_text() != "whole":
            raise RuntimeError("not there")
        self.root = root


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeData]:
    for name, value in (("meanwhile", None), ("fails", False), ("downloads", 0)):
        monkeypatch.setattr(FakeData, name, value)
    return FakeData


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_data_is_downloaded_once_and_moved(fake: type[FakeData], tmp_path: Path) -> None:
    """Nothing but the data set is new."""
    root = tmp_path / "new" / "data"
    for _ in range(2):
        assert download(fake, root).root == str(root)
    assert fake.downloads == 1
    assert tree(tmp_path) == {"new", "new/data", "new/data/fake", "new/data/fake/data"}


def test_damaged_data_is_downloaded_again(fake: type[FakeData], tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "data").write_text("damaged")
    (tmp_path / "fake" / "mine").write_text("kept")
    download(fake, tmp_path)
    assert tree(tmp_path) == {"fake", "fake/data", "fake/mine"}


def test_a_failure_keeps_files_of_other_processes(fake: type[FakeData], tmp_path: Path) -> None:
    """Files that appear in the root during the download."""
    fake.fails, fake.meanwhile = True, lambda root: (root / "other").write_text("theirs")
    root = tmp_path / "data"
    with pytest.raises(URLError):
        download(fake, root)
    assert tree(tmp_path) == {"data", "data/other"}


def test_a_partial_download_is_never_in_the_root(fake: type[FakeData], tmp_path: Path) -> None:
    seen = []
    fake.meanwhile = lambda root: seen.append((root / "fake").exists())
    download(fake, tmp_path)
    assert seen == [False]


def test_leftovers_of_a_killed_process_are_removed(fake: type[FakeData], tmp_path: Path) -> None:
    (tmp_path / ".fetch-abc").mkdir()
    (tmp_path / ".fetch-abc" / "half").write_text("half")
    download(fake, tmp_path)
    assert tree(tmp_path) == {"fake", "fake/data"}


def test_two_processes_download_once(fake: type[FakeData], tmp_path: Path) -> None:
    """The second waits for the first and finds its data set."""
    entered = threading.Barrier(2)

    def fetch(_: int) -> str:
        entered.wait(10)
        return download(fake, tmp_path).root

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fetch, range(2))) == [str(tmp_path)] * 2
    assert fake.downloads == 1
    assert tree(tmp_path) == {"fake", "fake/data"}


def test_folders_are_merged_and_files_replaced(tmp_path: Path) -> None:
    for name, text in (("a/x/1", "new"), ("a/2", "new"), ("b/x/1", "old"), ("b/x/3", "old")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    move(tmp_path / "a", tmp_path / "b")
    texts = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert texts == {"1": "new", "2": "new", "3": "old"}


def test_split_of_grey_and_colour_arrays() -> None:
    grey = split_of(np.zeros((4, 5, 6), np.uint8), [3, 1, 2, 0])
    assert grey.images.shape == (1, 5, 6)
    assert grey.labels.dtype == torch.int64
    colour = split_of(np.zeros((4, 5, 6, 3), np.uint8).transpose(0, 3, 1, 2), np.arange(4))
    assert colour.images.shape == (3, 5, 6)
    assert colour.images.read([0]).is_contiguous()
