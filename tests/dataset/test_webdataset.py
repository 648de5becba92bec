"""Tar shards: the format, splits, labels, URLs, and shards that are damaged or hostile."""

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import digest, fitted, read_json, train

import trainer
from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.core.errors import ConfigError, DataError, Interrupted
from trainer.dataset import Data
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.packed import UncutPacked
from trainer.dataset.shared.shards import expanded
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut
from trainer.dataset.webdataset import Webdataset

Members = dict[str, bytes]


def encoded(value: int, size: tuple[int, int] = (6, 4), kind: str = "PNG", **about: Any) -> bytes:
    """A uniform grey image; size is (width, height)."""
    buffer = io.BytesIO()
    Image.new("L", size, value).save(buffer, kind, **about)
    return buffer.getvalue()


def write(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, number: int, label: Callable[[int], object] = lambda i: i % 2) -> Members:
    """Samples `first` on, each with its own grey level and its class in .cls."""
    found: Members = {}
    for i in range(first, first + number):
        found[f"{i:04}.png"] = encoded(i)
        found[f"{i:04}.cls"] = str(label(i)).encode()
    return found


def shards(root: Path, split: str = "train", number: int = 3, each: int = 8) -> Path:
    for n in range(number):
        write(root / f"{split}-{n:04}.tar", samples(n * each, each))
    return root


def opened(root: Path, seed: int = 0, **settings: Any) -> Data:
    return Webdataset(root=str(root), cache=settings.pop("cache", None), **settings).open(seed)


def greys(data: Data) -> list[int]:
    """The grey levels of all images of the training source."""
    return data.train.images.read(range(len(data.train.images)))[:, 0, 0, 0].tolist()


# Format


def test_samples_are_read_in_order_with_their_labels(tmp_path: Path) -> None:
    data = opened(shards(tmp_path))
    assert data.classes == ("0", "1")
    assert data.shape == (3, 4, 4)  # C, H, W: the median short side
    assert greys(data) == list(range(24))
    assert data.train.labels.tolist() == [0, 1] * 12
    assert data.train.images.paths[9] == f"{tmp_path}/train-0001.tar/0009"  # pyright: ignore
    assert (len(data.train), len(data.val), len(data.test)) == (17, 2, 5)
    ids = torch.cat([data.train.ids, data.val.ids, data.test.ids])
    assert sorted(ids.tolist()) == list(range(24))


def test_members_that_are_no_sample_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (("README", b""), ("0.png", tarfile.SYMTYPE), ("d", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind or tarfile.REGTYPE, "/etc/passwd" if kind else ""
            tar.addfile(info)
        for i, name in enumerate(["./é/1", "a/" + "long" * 40, ".hidden", "a.b/2"]):
            for field, content in ((".PNG", encoded(i)), (".cls", b"ab"[i % 2 : i % 2 + 1])):
                info = tarfile.TarInfo(name + field)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    data = opened(tmp_path, image_field="auto")
    assert greys(data) == [0, 1, 3]
    keys = [path.removeprefix(f"{tmp_path}/train.tar/") for path in data.train.images.paths]  # pyright: ignore
    assert keys == ["é/1", "a/" + "long" * 40, "a.b/2"]
    assert data.classes == ("a", "b")


@pytest.mark.parametrize(
    ("field", "content", "setting"),
    [
        ("txt", "cat", "auto"),
        ("json", json.dumps({"label": "cat"}), "auto"),
        ("json", json.dumps({"cls": 7}), "auto"),
        ("json", json.dumps({"a": {"b": "cat"}}), "json.a.b"),
        ("species", "cat", "species"),
    ],
)
def test_labels_in_other_fields(tmp_path: Path, field: str, content: str, setting: str) -> None:
    members: Members = {}
    for i in range(4):
        other = content.replace("cat", "dog").replace("7", "10")
        members |= {f"{i}.png": encoded(i), f"{i}.{field}": (other if i % 2 else content).encode()}
    write(tmp_path / "train.tar", members)
    data = opened(tmp_path, label_field=setting, val_fraction=0, test_fraction=0)
    assert data.classes == (("7", "10") if "7" in content else ("cat", "dog"))
    assert data.train.labels.tolist() == [0, 1, 0, 1]


def test_names_of_classes_by_the_number_of_their_line(tmp_path: Path) -> None:
    write(tmp_path / "train.tar", samples(0, 6, lambda i: i % 3))
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nelk\nfox\n", encoding="utf-8")
    data = opened(tmp_path, class_names=str(names), val_fraction=0, test_fraction=0)
    assert data.classes == ("cat", "dog", "elk", "fox")
    assert data.train.labels.tolist() == [0, 1, 2] * 2
    only = opened(
        tmp_path, class_names=str(names), classes=["elk", "cat"], val_fraction=0, test_fraction=0
    )
    assert only.train.labels[only.train.ids].tolist() == [1, 0, 1, 0]
    names.write_text("cat\ndog\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"train\.tar/0002: the label 2 is not the number of a class; there are 2"
    ):
        opened(tmp_path, class_names=str(names))


def test_image_settings_are_those_of_files(tmp_path: Path) -> None:
    """Size, channels, and the EXIF record."""
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = 255  # white above: on the right when turned
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=turned)
    write(tmp_path / "train.tar", samples(0, 6) | {"x.png": buffer.getvalue(), "x.cls": b"1"})
    data = opened(tmp_path, size=4, channels=1)
    assert data.shape == (1, 4, 4)
    assert data.train.images.read([6])[0, 0, 0].tolist() == [0, 0, 0, 255]


# Splits


def test_splits_by_the_words_of_paths(tmp_path: Path) -> None:
    shards(tmp_path / "set-training", "x", 2)
    write(tmp_path / "imagenet_VALIDATION_00.tar", samples(50, 4))
    write(tmp_path / "test" / "0.tar", samples(70, 2))
    data = opened(tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 2)
    assert data.val.images.read([0])[0, 0, 0, 0] == 50


def test_patterns_and_lists(tmp_path: Path) -> None:
    shards(tmp_path, "part", 4)
    data = opened(tmp_path, train="part-{0000..0001}.tar", val="part-0002.*", test="part-0003.tar")
    assert (len(data.train), len(data.val), len(data.test)) == (16, 8, 8)
    data = opened(tmp_path / "elsewhere", train=[f"{tmp_path}/part-000[13].tar"], val=None)
    assert greys(data) == [*range(8, 16), *range(24, 32)]
    assert expanded("{a,b}-{08..10}") == [f"{x}-{n}" for x in "ab" for n in ("08", "09", "10")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": "x-*.tar"}, r"dataset\.train: there is no shard .*x-\*\.tar"),
        ({"train": ["train-0000.tar"] * 2}, r"dataset\.train names a shard twice"),
        ({"train": "train-*", "val": "train-0001.tar"}, "share a shard"),
        ({"root": "/nowhere"}, r"dataset\.root: no folder /nowhere"),
        ({"train": []}, r"dataset\.train names no shard"),
    ],
)
def test_shards_that_are_not_there(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Webdataset(**{"root": str(shards(tmp_path)), "cache": None, **settings}).open(0)


@pytest.mark.parametrize("name", ["pipe:cat x.tar", "PIPE:x", "s3://bucket/x.tar", "file:///x.tar"])
def test_what_is_no_file_and_no_url_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"give https:// or http://, or fetch the shards"):
        opened(tmp_path, train=name)


def test_braces_cannot_ask_for_too_much() -> None:
    with pytest.raises(ConfigError, match="1 to 1,000,000 are read"):
        expanded("{0..999999999999}")
    with pytest.raises(ConfigError, match="1 to 1,000,000 are read"):
        expanded("{0..99999}" * 9)


# Damage


def test_what_is_wrong_with_a_shard_is_named(tmp_path: Path) -> None:
    path = shards(tmp_path) / "train-0001.tar"
    whole = path.read_bytes()
    cases = {
        whole[:4000]: r"train-0001\.tar is damaged, or no tar file: unexpected end",
        whole[:8192]: "is damaged or cut off",
        b"\x1f\x8b" + whole: "is compressed with gzip",
        b"noise" * 1000: "is damaged, or no tar file",
        whole[:1024] + b"?" * 512 + whole[1536:]: "is damaged or cut off: no end mark at byte",
        b"": "is damaged, or no tar file",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            opened(tmp_path)
    path.unlink()
    path.mkdir()
    assert len(opened(tmp_path).train.images) == 16
    (path / "x.tar").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is not a regular file; mend it, or move it away"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.png": b"", "1.txt": b"\xff"}, r"t\.tar: sample 1 has no text in its field txt"),
        ({"1.png": b""}, r"1 has no label in cls, json\.label, json\.cls, txt .*has png"),
        ({"1.cls": b"0"}, "sample 1 has no image; it has cls"),
        ({"1.png": b"", "1.a.jpg": b"", "1.cls": b"0"}, r"images in png, a\.jpg; set dataset"),
        ({"1.png": b"", "2.png": b"", "1.cls": b"0"}, "key 1 twice; the files of a sample must"),
        ({"1.png": b"", "1.json": b"[" * 100_000}, "sample 1 has no label"),
        ({"1.png": b"", "1.cls": b"0" * 2**21}, "has 2,097,152 bytes in its field cls"),
        ({"notes": b""}, r"has no samples: files such as 0001\.jpg with 0001\.cls"),
        ({"1.png": b"", "1.cls": b"0"}, "a single class, 0"),
    ],
)
def test_samples_that_lack_something_are_named(
    tmp_path: Path, members: Members, message: str
) -> None:
    write(tmp_path / "t.tar", members)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_keys_must_be_unique_in_a_shard(tmp_path: Path) -> None:
    members = samples(0, 2) | {"0000.seg.png": encoded(1), "0000.json": b"{}"}
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for name in ("0000.png", "0000.cls", "0001.png", "0001.cls", "0000.png", "0000.cls"):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            tar.addfile(info, io.BytesIO(members[name]))
    with pytest.raises(
        DataError, match=r"has the key 0000 twice; the files of a sample must stand"
    ):
        opened(tmp_path)


def test_an_unreadable_image_is_named_or_left_out(tmp_path: Path) -> None:
    shards(tmp_path, number=2, each=100)
    write(tmp_path / "train-0002.tar", {"bad.png": b"noise", "bad.cls": b"0"})
    with pytest.raises(DataError, match=r"cannot read the image .*train-0002\.tar/bad: it is dam"):
        opened(tmp_path, size=4).train.images.read([200])
    data = opened(tmp_path, size=4, corrupt="skip")
    assert len(data.train.images) == 200
    assert data.train.images.skipped == [f"{tmp_path}/train-0002.tar/bad"]  # pyright: ignore
    assert greys(data)[-1] == 199


# Cache, URLs, runs


def test_the_list_is_cached_until_a_shard_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = shards(tmp_path / "data"), str(tmp_path / "cache")
    read: list[int] = []
    from trainer.dataset import webdataset

    real = webdataset.read_samples

    def noted(path: str, *rest: str) -> Any:
        read.append(int(path[-5]))
        return real(path, *rest)

    monkeypatch.setattr(webdataset, "read_samples", noted)
    monkeypatch.setattr(webdataset, "available_cores", lambda: 1)
    first = opened(root, cache=cache)
    assert read == [0, 1, 2]
    second = opened(root, cache=cache)
    assert read == [0, 1, 2]
    assert torch.equal(first.train.labels, second.train.labels)
    assert greys(first) == greys(second)
    write(root / "train-0001.tar", samples(40, 5))
    assert greys(opened(root, cache=cache)) == [*range(8), *range(40, 45), *range(16, 24)]
    assert read == [0, 1, 2] * 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str], Path]]:
    """A web server: its address, the paths that were asked for, and its folder."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

        def do_GET(self) -> None:
            if self.path != "/short.tar":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", asked, folder
        found.shutdown()
        thread.join()


def test_shards_by_url_are_fetched_once(
    tmp_path: Path, server: tuple[str, list[str], Path]
) -> None:
    address, asked, folder = server
    shards(folder)
    said: list[str] = []
    about = {"train": f"{address}/train-{{0000..0002}}.tar", "cache": str(tmp_path / "cache")}
    with pytest.raises(DataError, match=r"3 shards, such as .*; dataset\.download=true fetches"):
        opened(tmp_path, **about)
    assert not asked
    data = opened(tmp_path, **about, download=True, warn=said.append)
    assert greys(data) == list(range(24))
    assert data.train.images.paths[0] == f"{address}/train-0000.tar/0000"  # pyright: ignore
    assert said == [f"fetching 3 shards into {tmp_path / 'cache' / 'trainer'}"]
    assert greys(opened(tmp_path, **about, warn=pytest.fail)) == list(range(24))
    assert sorted(asked) == [f"/train-000{n}.tar" for n in range(3)]
    with pytest.raises(ConfigError, match=r"dataset\.cache is the folder for the shards"):
        opened(tmp_path, train=about["train"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.tar", "cannot be fetched: HTTP Error 404"), ("short.tar", "after 1,000 of 1,000,000")],
)
def test_a_shard_that_cannot_be_fetched_leaves_nothing(
    tmp_path: Path, server: tuple[str, list[str], Path], name: str, message: str
) -> None:
    about = {"cache": str(tmp_path / "cache"), "warn": lambda _: None}
    with pytest.raises(DataError, match=message):
        opened(tmp_path, train=f"{server[0]}/{name}", download=True, **about)
    assert not list((tmp_path / "cache" / "trainer").iterdir())


def test_the_query_of_a_url_is_not_shown(
    tmp_path: Path, server: tuple[str, list[str], Path]
) -> None:
    """It may hold a key, and another one tomorrow."""
    address, _, folder = server
    shards(folder)
    about = {"cache": str(tmp_path / "cache"), "warn": lambda _: None}
    for name, download in (("train-0000.tar", False), ("none.tar", True)):
        with pytest.raises(DataError, match=name) as refused:
            opened(tmp_path, train=f"{address}/{name}?key=secret", download=download, **about)
        assert "secret" not in str(refused.value)
    images = opened(tmp_path, train=f"{address}/train-0000.tar?key=secret", download=True, **about)
    assert images.train.images.paths[0] == f"{address}/train-0000.tar/0000"  # pyright: ignore


def own(root: Path, cache: Path) -> list[str]:
    return [
        *("dataset=webdataset", f"dataset.root={root}", f"dataset.cache={cache}", "device=cpu"),
        *("dataset.size=8", "model=mlp", "batch_size=4", "epochs=2", "mining=hard_example"),
        *("mining.warmup_epochs=1", "checkpoint.every=1st"),
    ]


def test_a_run_is_the_same_by_every_loader_and_when_resumed(tmp_path: Path) -> None:
    settings = own(shards(tmp_path / "data"), tmp_path / "cache")
    whole = digest(fitted(tmp_path / "whole", *settings, "loader=memory"))
    mapped = [*settings, "loader=memory", "loader.cache=mmap"]
    assert digest(fitted(tmp_path / "mapped", *mapped)) == whole
    streamed = [*settings, "loader=stream", "loader.workers=1"]
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stopped", *streamed, stop_after=3)
    assert digest(fitted(tmp_path / "stopped", *streamed)) == whole


def test_the_hardest_and_corrections_go_by_key(tmp_path: Path) -> None:
    root, run = shards(tmp_path / "data"), tmp_path / "run"
    settings = own(root, tmp_path / "cache")
    assert train(run, *settings) == 0
    assert train(tmp_path / "examples", "job=examples", f"run={run}") == 0
    rows = (tmp_path / "examples" / "hardest.csv").read_text(encoding="utf-8").splitlines()
    path = next(cell for cell in rows[1].split(",") if ".tar/" in cell)
    history = trainer.history.open(run)
    assert history.keys is not None
    assert history.keys.tolist() == [f"train-000{i // 8}.tar/{i:04}" for i in range(24)]
    assert path == f"{root}/{history.keys[history.hardest(1)[0]]}"
    assert path.startswith(f"{root}/train-000")
    table = tmp_path / "corrections.csv"
    table.write_text(f"path,drop\n{path.removeprefix(f'{root}/')},1\n", encoding="utf-8")
    data = opened(root, size=8, corrections=str(table))
    row = data.train.images.paths.tolist().index(path)  # pyright: ignore
    assert row not in data.train.ids.tolist()
    assert read_json(run / "data.json")["classes"] == ["0", "1"]


def test_pieces_are_cut_out_of_whole_images_as_from_files(tmp_path: Path) -> None:
    members: Members = {}
    for i in range(8):
        photo = encoded(20 * i, (30 + i, 20), "JPEG")
        members |= {f"{i:04}.jpg": photo, f"{i:04}.cls": b"ab"[i % 2 : i % 2 + 1]}
        path = tmp_path / "files" / "ab"[i % 2] / f"{i // 2}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo)
    write(tmp_path / "shards" / "train.tar", members)
    uncut: dict[str, Any] = {"fit": "uncut", "crop": 8, "size": None, "cache": None}
    cut = Cut(RandomResizedCrop(size=8), 3, 1, list(range(8)))
    packed = Webdataset(root=str(tmp_path / "shards"), **uncut).load().train.images
    files = ImageFolder(root=str(tmp_path / "files"), **uncut).load().train.images
    assert isinstance(packed, UncutPacked)
    assert isinstance(files, UncutFiles)
    by_class = [0, 2, 4, 6, 1, 3, 5, 7]  # the order of the folders
    assert packed.pieces(by_class, cut).equal(files.pieces(range(8), cut))
    assert packed.read(by_class).equal(files.read(range(8)))
    some = np.arange(8) >= 6
    assert packed.select(some).pieces([1], cut).equal(files.select(some).pieces([1], cut))
