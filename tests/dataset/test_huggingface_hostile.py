"""Tables whose rows, types and files are not as they should be: one line says what, and where."""

import json
import logging
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset.huggingface import Huggingface

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("datasets")

ROWS = 8
LABELS: list[Any] = [i % 2 for i in range(ROWS)]


def encoded(value: int) -> bytes:
    buffer = BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, *, about: str = "", **columns: Any) -> Path:
    """A parquet file of ROWS images and their labels, and of the folder that it is in."""
    images = [{"bytes": encoded(i), "path": None} for i in range(ROWS)]
    table = pa.table({"image": images, "label": LABELS, **columns})
    pq.write_table(table.replace_schema_metadata({"huggingface": about} if about else None), path)
    return path.parent


def fault(root: Path, *, streaming: bool, **settings: Any) -> str:
    """What is said of a folder of tables that cannot be read."""
    cache = str(root.parent / "cache")
    dataset = Huggingface(root=str(root), cache=cache, streaming=streaming, **settings)
    with pytest.raises(DataError) as found:
        dataset.open(0).train.images.read(range(ROWS))
    return str(found.value)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [*LABELS[:-1], None]}, "/train/7: it has no label; leave such rows out"),
        ({"label": pa.array([None] * ROWS, pa.int64())}, "no training example has a label"),
        ({"image": [f"{i}.png" for i in range(ROWS)]}, "names the file '0.png' and has no image"),
        ({"image": LABELS}, "the row has no image; dataset.corrupt=skip, where a data set has it"),
    ],
)
def test_rows(tmp_path: Path, streaming: bool, columns: dict[str, Any], message: str) -> None:
    root = tmp_path / "tables"
    root.mkdir()
    write(root / "train.parquet", **columns)
    settings = {"size": 4, "image_column": "image"}
    assert message in fault(root, streaming=streaming, **settings)


@pytest.mark.parametrize(
    "features", [{}, {"_type": "Nope"}, {"_type": "ClassLabel", "names": ["a", "a"]}]
)
def test_types_that_the_library_does_not_have(tmp_path: Path, features: dict[str, Any]) -> None:
    about = {"info": {"features": {"image": {"_type": "Image"}, "label": features}}}
    text = json.dumps(about) if features else "{"
    root = write(tmp_path / "train.parquet", about=text)
    assert fault(root, streaming=True).startswith(f"{root}/train.parquet cannot be read: ")


def test_the_damaged_file_of_several_is_named_and_nothing_else_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = StringIO()
    monkeypatch.setattr(logging.getLogger("datasets"), "handlers", [logging.StreamHandler(printed)])
    root = write(tmp_path / "train-0.parquet")
    (root / "train-1.parquet").write_bytes(b"PAR1noisePAR1")
    assert "train-1.parquet' with error ArrowInvalid: " in fault(root, streaming=False)
    write(root / "train-1.parquet", label=["x"] * ROWS)
    assert "as a scalar of type int64" in fault(root, streaming=False)
    assert printed.getvalue() == ""
