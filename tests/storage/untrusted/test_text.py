"""Text and arrays of a run folder have a limited size and the right shape."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import Evil, evaluate, forge, only_checkpoint

from trainer import history
from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.storage import checkpoint, untrusted
from trainer.storage.run_folder import RunFolder

NOT_JSON = {
    "too large": ("{" + " " * untrusted.LARGEST + "}", "larger than 1,048,576 bytes"),
    "deep": ("[" * 100_000, "cannot be read"),
    "not a mapping": ("[1]", "does not contain a mapping"),
    "not JSON": ("{", "cannot be read"),
    "not text": ("\ud800", "cannot be read"),
}


@pytest.mark.parametrize(("text", "message"), NOT_JSON.values(), ids=NOT_JSON)
@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_text_that_is_not_a_mapping_is_refused(copy, name, text, message):
    data = text.encode("utf-8", "surrogatepass")
    path = only_checkpoint(copy)
    forge(path, "config.json", data)
    if name == "manifest.json":
        (path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "manifest", ["{}", '{"model.safetensors": 3}', '{"state.pt": {"size": []}}']
)
def test_a_manifest_of_another_shape_is_refused(copy, manifest):
    (only_checkpoint(copy) / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(only_checkpoint(copy))


def test_a_status_is_read_within_limits(copy, tmp_path):
    status = copy / "status.json"
    for text, said in (("[1]", "unreadable"), ("", "unreadable"), ('{"state": "x"}', "x")):
        status.write_text(text)
        assert RunFolder(copy).status["state"] == said
    with pytest.raises(ConfigError, match=r"already contains a run \(x\)"):
        RunFolder(copy).claim(fresh=True)
    status.write_text(" " * (untrusted.LARGEST + 1))
    with pytest.raises(CheckpointError, match="larger than"):
        _ = RunFolder(copy).status
    assert RunFolder(tmp_path / "none").status == {}


def test_fitted_numbers_of_another_shape_are_exit_code_5(copy, tmp_path, capsys):
    path = copy / "postprocess.json"
    record = json.loads(path.read_text())
    for i, fitted in enumerate(({}, {"temperature": "x"})):
        path.write_text(json.dumps(record | {"fitted": fitted}))
        assert evaluate(tmp_path / f"e{i}", f"run={copy}") == CheckpointError.exit_code
        assert "postprocess.json does not fit the model" in capsys.readouterr().err


def header(shape: tuple[int, ...], descr: str = "<i8") -> bytes:
    """An npy file's header, without the data."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=True)
    return buffer.getvalue()


META = {"version": 1, "fields": {"loss": "float16"}}
STORES: dict[str, Callable[[Path], tuple[str, bytes]]] = {
    "objects": lambda marker: ("ids.npy", npy(np.array([Evil(marker)], object))),
    "a huge header": lambda _: ("ids.npy", header((2**40,))),
    "an overflowing header": lambda _: ("ids.npy", header((2**62, 2**62))),
    "ids outside": lambda _: ("ids.npy", npy([0, 10**12])),
    "negative ids": lambda _: ("ids.npy", npy([-1])),
    "ids of numbers": lambda _: ("ids.npy", npy([0.5])),
    "a table of ids": lambda _: ("ids.npy", npy([[0]])),
    "labels of text": lambda _: ("labels.npy", npy(["a"] * 1797)),
    "few labels": lambda _: ("labels.npy", npy([1])),
    "few true labels": lambda _: ("true_labels.npy", npy([1])),
    "a threshold outside": lambda _: ("threshold.npy", npy([10**9])),
    "endless examples": lambda _: ("meta.json", json.dumps(META | {"examples": 2**62}).encode()),
    "infinite examples": lambda _: ("meta.json", b'{"examples": 1e999, "fields": {"loss": 1}}'),
    "no examples": lambda _: ("meta.json", json.dumps(META | {"examples": 0}).encode()),
    "negative examples": lambda _: ("meta.json", json.dumps(META | {"examples": -4}).encode()),
    "a field elsewhere": lambda _: ("meta.json", b'{"examples": 4, "fields": {"../../loss": 1}}'),
    "too large": lambda _: ("meta.json", b" " * (untrusted.LARGEST + 1)),
    "deep": lambda _: ("meta.json", b"[" * 100_000),
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_a_hostile_store_is_refused(copy, marker, make):
    name, data = make(marker)
    (copy / "examples" / name).write_bytes(data)
    with pytest.raises(DataError, match="examples has no readable difficulty store"):
        history.open(copy)
    assert not marker.exists()


def test_arrays_that_the_store_does_not_use_are_not_read(copy):
    (copy / "examples" / "more.npy").write_bytes(b"not an array")
    assert len(history.open(copy).ids) > 0
