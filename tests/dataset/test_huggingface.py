"""Tables in the formats of Hugging Face: saved sets, parquet, arrow; columns; damage."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import digest, fitted

from trainer.core.errors import DataError
from trainer.dataset import Data

datasets = pytest.importorskip("datasets", reason="needs the extra huggingface")
pq = pytest.importorskip("pyarrow.parquet")

from trainer.dataset.huggingface import Huggingface  # noqa: E402
from trainer.dataset.shared import table_images  # noqa: E402


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def encoded(value: int) -> bytes:
    """A uniform grey image of 6 x 4 pixels."""
    buffer = io.BytesIO()
    Image.new("L", (6, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def rows(number: int, first: int = 0) -> Any:
    """A set with grey levels from `first` on, and the classes cat and dog in turn."""
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )
    images = [{"bytes": encoded(first + i), "path": None} for i in range(number)]
    columns = {"image": images, "label": [i % 2 for i in range(number)]}
    return datasets.Dataset.from_dict(columns, features=features)


def saved(root: Path) -> Path:
    datasets.DatasetDict(train=rows(24), validation=rows(4, 50), test=rows(6, 60)).save_to_disk(
        root / "set"
    )
    return root / "set"


def saved_alone(root: Path) -> Path:
    rows(24).save_to_disk(root / "set")
    return root / "set"


def parquet(root: Path) -> Path:
    """Two files for train, with row groups of 5 rows; one in a folder for test."""
    for n in range(2):
        path = root / "set" / f"train-0000{n}-of-00002.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows(12, 12 * n).data.table, path, row_group_size=5)
    (root / "set" / "test").mkdir()
    pq.write_table(rows(6, 60).data.table, root / "set" / "test" / "0.parquet")
    return root / "set"


def arrow(root: Path) -> Path:
    datasets.Dataset.save_to_disk(rows(24), root / "made")
    (root / "set").mkdir()
    (root / "made" / "data-00000-of-00001.arrow").rename(root / "set" / "train.arrow")
    return root / "set"


MAKERS = {"saved": saved, "alone": saved_alone, "parquet": parquet, "arrow": arrow}


def opened(root: Path, cache: Path, **settings: Any) -> Data:
    return Huggingface(root=str(root), cache=str(cache), **settings).open(0)


def greys(data: Data) -> list[int]:
    """The grey levels of all images of the training source."""
    return data.train.images.read(range(len(data.train.images)))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", MAKERS)
def test_rows_are_read_in_order_with_their_labels(
    tmp_path: Path, kind: str, streaming: bool
) -> None:
    root = MAKERS[kind](tmp_path)
    data = opened(root, tmp_path / "cache", streaming=streaming)
    assert data.classes == ("cat", "dog")
    assert data.shape == (3, 4, 4)
    assert greys(data) == list(range(24))
    assert data.train.labels.tolist() == [0, 1] * 12
    sizes = {"saved": (24, 4, 6), "parquet": (22, 2, 6)}.get(kind, (17, 2, 5))
    assert (len(data.train), len(data.val), len(data.test)) == sizes
    assert data.train.images.paths[9] == f"{root}/train/9"  # pyright: ignore
    assert data.notes == (
        "dataset.image_column=image and dataset.label_column=label are taken, of the columns "
        "image, label",
    )
    copied = (tmp_path / "cache" / "trainer" / "huggingface").exists()
    assert copied == (kind in ("parquet", "arrow") and not (streaming and kind == "parquet"))


def test_row_groups_are_read_when_they_are_needed_and_kept_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    real = table_images.ParquetColumn.read_group

    def noted(file: Any, group: int) -> Any:
        read.append((int(file.path[-18]), group))
        return real(file, group)

    monkeypatch.setattr(table_images.ParquetColumn, "read_group", noted)
    monkeypatch.setattr(table_images, "RECENT", table_images.RowGroups())
    data = opened(parquet(tmp_path), tmp_path / "cache", streaming=True, size=4)
    read.clear()
    table_images.RECENT.groups.clear()
    data.train.images.read([7, 8, 9, 13, 6])
    assert read == [(0, 1), (1, 0)]
    monkeypatch.setattr(table_images, "HELD", 1)
    data.train.images.read([0, 7, 0])
    assert read[2:] == [(0, 0), (0, 1), (0, 0)]


@pytest.mark.parametrize("streaming", [False, True])
def test_other_columns(tmp_path: Path, streaming: bool) -> None:
    """Plain bytes and text, as other libraries write them; a class by number."""
    table = {
        "x": [encoded(i) for i in range(6)],
        "kind": ["b", "a"] * 3,
        "number": [7, 10] * 3,
    }
    root = tmp_path / "set"
    root.mkdir()
    datasets.Dataset.from_dict(table).to_parquet(root / "train.parquet")
    about = {"streaming": streaming, "val_fraction": 0, "test_fraction": 0, "image_column": "x"}
    data = opened(root, tmp_path / "cache", label_column="kind", **about)
    assert (data.classes, data.train.labels.tolist()) == (("a", "b"), [1, 0] * 3)
    assert greys(data) == list(range(6))
    data = opened(root, tmp_path / "cache", label_column="number", **about)
    assert data.classes == ("7", "10")
    with pytest.raises(DataError, match=r"label_column must be set to one of .*: x, kind, number"):
        opened(root, tmp_path / "cache", **about)
    with pytest.raises(DataError, match=r"no column kin\. Did you mean kind\? Columns: x, kind"):
        opened(root, tmp_path / "cache", label_column="kin", **about)
    with pytest.raises(DataError, match=r"cannot read the image .*/train/5: the row has no image"):
        opened(root, tmp_path / "cache", label_column="kind", **{**about, "image_column": "number"})


def with_label(value: int | None) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        part = rows(6, 60).remove_columns("label").add_column("label", [value] * 6)
        part = part.cast_column("label", datasets.ClassLabel(names=["cat", "dog"]))
        datasets.DatasetDict(train=rows(24), test=part, extra=rows(3)).save_to_disk(root / "set")
        return root / "set"

    return make


@pytest.mark.parametrize("value", [-1, None])
def test_a_split_without_labels_is_left_out_and_said(tmp_path: Path, value: int | None) -> None:
    data = opened(with_label(value)(tmp_path), tmp_path / "cache")
    assert (len(data.train), len(data.val), len(data.test)) == (17, 2, 5)
    assert "not used: extra, test (no labels)" in data.notes[1]


def test_a_row_that_only_names_a_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(9))
    table = {"image": [{"bytes": None, "path": str(secret)}] * 4, "label": [0, 1] * 2}
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(num_classes=2))
    path = tmp_path / "set" / "train.parquet"
    path.parent.mkdir()
    made = datasets.Dataset.from_dict(table, features=features)
    pq.write_table(made.data.table, path)
    with pytest.raises(DataError, match=r"names the file '.*secret\.png' and has no image in it"):
        opened(tmp_path / "set", tmp_path / "cache", streaming=True)


def test_nothing_is_read_over_the_network_unasked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.hub=a/b is read over .* dataset\.download=true"):
        opened(tmp_path, tmp_path / "cache", hub="a/b")


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path, streaming: bool) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"dataset\.root: no folder .*nowhere"):
        opened(tmp_path / "nowhere", cache, streaming=streaming)
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=r"has no training files, such as train-0\.parquet"):
        opened(tmp_path / "set", cache, streaming=streaming)
    (tmp_path / "set" / "train.parquet").write_bytes(b"PAR1 noise")
    with pytest.raises(DataError, match=r"train\.parquet is damaged|cannot be opened"):
        opened(tmp_path / "set", cache, streaming=streaming)
    (tmp_path / "set" / "train.arrow").touch()
    with pytest.raises(DataError, match="parquet and arrow files; move those of one kind away"):
        opened(tmp_path / "set", cache, streaming=streaming)


def test_a_damaged_row_group_is_named_by_its_row(tmp_path: Path) -> None:
    root = parquet(tmp_path)
    data = opened(root, tmp_path / "cache", streaming=True, size=4)
    (path,) = root.glob("train-00001*")
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 600 + content[604:])
    table_images.RECENT.groups.clear()
    with pytest.raises(DataError, match=r"cannot read the image .*/set/train/13: "):
        data.train.images.read([13])


def test_a_run_is_the_same_from_all_of_them(tmp_path: Path) -> None:
    root = parquet(tmp_path)
    own = [
        *("dataset=huggingface", f"dataset.root={root}", f"dataset.cache={tmp_path / 'cache'}"),
        *("dataset.size=8", "model=mlp", "batch_size=4", "epochs=1", "device=cpu"),
        *("sampler=block_shuffle", "sampler.block=4", "sampler.buffer=2"),
    ]
    whole = digest(fitted(tmp_path / "whole", *own, "loader=memory"))
    streamed = [*own, "dataset.streaming=true"]
    workers = [*streamed, "loader=stream", "loader.workers=1"]
    assert digest(fitted(tmp_path / "workers", *workers)) == whole
    disk = [*streamed, "loader=memory", "loader.cache=mmap"]
    assert digest(fitted(tmp_path / "disk", *disk)) == whole


def test_the_cache_of_pixels_tells_sets_apart(tmp_path: Path) -> None:
    """Equal numbers of rows, in the same place, one after the other."""
    from trainer.loader.memory import pixels_of

    root = saved_alone(tmp_path)
    first = pixels_of(opened(root, tmp_path / "cache", size=4).train.images, 0)
    datasets.disable_caching()
    rows(24, 100).save_to_disk(tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.replace(root / path.name)
    second = pixels_of(opened(root, tmp_path / "cache", size=4).train.images, 0)
    assert torch.equal(second.int(), first.int() + 100)
    assert np.unique(second[:, 0, 0, 0]).tolist() == list(range(100, 124))
