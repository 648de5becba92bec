"""Folders of shards with odd files in them, and shards whose headers or names are odd."""

import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import train

import trainer
from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.shared.packed import PackedImages
from trainer.dataset.webdataset import Webdataset
from trainer.loader.memory import pixels_of


def shard(path: Path, names: list[str], mode: Any = "w", encoding: str = "utf-8") -> Path:
    """Samples of two classes in turn, with the class in .cls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, label = path.with_name("x.png"), path.with_name("x.cls")
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT, encoding=encoding) as tar:
        for i, name in enumerate(names):
            Image.new("L", (4, 4), i).save(image)
            label.write_text(str(i % 2))
            tar.add(image, f"{name}.png")
            tar.add(label, f"{name}.cls")
    image.unlink()
    label.unlink()
    return path


def folder(root: Path) -> Path:
    shard(root / "train-0.tar", [f"{i:02}" for i in range(12)])
    return root


def opened(root: Path, **settings: Any) -> Data:
    return Webdataset(root=str(root), cache=None, **settings).open(0)


def count(data: Data) -> int:
    return len(data.train) + len(data.val) + len(data.test)


# Folders


@pytest.mark.parametrize("name", ["train-1.tar.gz", "train-1.tgz", "more/x.tar.zst"])
def test_compressed_shards_are_not_left_out_unnoticed(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=rf"{path.name} is compressed, .* unpack it to a plain"):
        opened(tmp_path)


def test_shards_that_cannot_be_read_are_not_left_out_unnoticed(tmp_path: Path) -> None:
    path = folder(tmp_path) / "train-1.tar"
    path.symlink_to(tmp_path / "unmounted" / "train-1.tar")
    with pytest.raises(DataError, match=r"train-1.tar is a link to nothing; mend it, or move"):
        opened(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"train-1.tar is not a regular file"):
        opened(tmp_path)


def test_linked_folders_are_read_and_hidden_files_are_not(tmp_path: Path) -> None:
    root = folder(tmp_path / "shards")
    shard(tmp_path / "elsewhere" / "0.tar", ["a", "b", "c"])
    (root / "val").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    (root / "._train-0.tar").write_bytes(b"\0\5\26\7")  # as a Mac leaves
    data = opened(root)
    assert len(data.val) == 3
    assert count(data) == 15


def test_a_name_that_is_too_long_for_a_file_is_no_shard(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.train: there is no shard"):
        opened(folder(tmp_path), train="a" * 5000)


def test_splits_in_one_folder_do_not_replace_each_others_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, split in enumerate(("train", "train", "val", "val")):
        shard(tmp_path / f"{split}-{n}.tar", ["a", "b"])
    for _ in range(2):
        data = Webdataset(root=str(tmp_path), cache=str(tmp_path), test_fraction=0).open(0)
        for split in (data.train, data.val):
            assert len(pixels_of(split.images, 0)) == 4
        monkeypatch.setattr(PackedImages, "read", lambda *_: pytest.fail("decoded again"))
    kinds = Counter(path.name.partition("-")[0] for path in (tmp_path / "trainer").iterdir())
    assert kinds["pixels"] == kinds["samples"] == 2


# Shards


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_gigabytes_is_refused(tmp_path: Path, kind: bytes) -> None:
    """The file has them, as zeros that take no room on the disk."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 2**36
    with (folder(tmp_path) / "train-1.tar").open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2**37)
    with pytest.raises(DataError, match=r"train-1.tar is damaged, .*: a header of 68,719,4"):
        opened(tmp_path)


def test_names_that_are_not_utf_8_go_through_a_run(tmp_path: Path) -> None:
    names = [f"ä{i:02}" for i in range(12)]
    shard(tmp_path / "shards" / "train.tar", names, encoding="latin-1")
    run = tmp_path / "run"
    wanted = ["dataset=webdataset", f"dataset.root={tmp_path}/shards", "model=mlp", "epochs=1"]
    assert train(run, *wanted) == 0
    keys = trainer.history.open(run).keys
    assert keys is not None
    assert set(keys) <= {f"train.tar/\udce4{i:02}" for i in range(12)}
    assert np.unique(keys).size == keys.size


# Shards by URL


@pytest.fixture(params=["abc", "-5"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that sends half a shard, and a length that is none."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", request.param)
            self.end_headers()
            self.wfile.write(tarfile.TarInfo("0.png").tobuf())

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=partial(server.serve_forever, 0.01), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/0.tar"
        server.shutdown()


def test_a_fetched_shard_that_is_damaged_is_named_with_its_place(
    tmp_path: Path, address: str
) -> None:
    """It stays in the cache, and nobody would know which file it is."""
    dataset = Webdataset(
        train=address, cache=str(tmp_path), download=True, warn=lambda _: None, val=None, test=None
    )
    with pytest.raises(DataError, match=r"no end mark at .*; delete .* to fetch it anew") as error:
        dataset.open(0)
    path = Path(str(error.value).partition("delete ")[2].removesuffix(" to fetch it anew"))
    assert path.read_bytes() == tarfile.TarInfo("0.png").tobuf()
