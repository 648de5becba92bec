"""Text and arrays of a run folder are checked for size and shape."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import Evil, evaluate, only_checkpoint
from torture_parts.foreign_state import forge

from trainer import history
from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.storage import checkpoint, predicted, untrusted
from trainer.storage.run_folder import RunFolder

NOT_JSON = {
    "too large": ("{" + " " * untrusted.LARGEST + "}", "larger than 1,048,576"),
    "deep": ("[" * 100_000, "read"),
    "not a mapping": ("[1]", "mapping"),
    "not JSON": ("{", "read"),
    "not UTF-8": ("\ud800", "read"),
}


def test_malformed_json_is_refused(copy):
    path = only_checkpoint(copy)
    for text, message in NOT_JSON.values():
        data = text.encode("utf-8", "surrogatepass")
        forge(path, "config.json", data)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(path)
        manifest = (path / "manifest.json").read_bytes()
        (path / "manifest.json").write_bytes(data)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(path)
        (path / "manifest.json").write_bytes(manifest)


def test_a_malformed_manifest_is_refused(copy):
    for manifest in ("{}", '{"model.safetensors": 3}', '{"state.pt": {"size": []}}'):
        (only_checkpoint(copy) / "manifest.json").write_text(manifest)
        with pytest.raises(CheckpointError, match="read"):
            checkpoint.load(only_checkpoint(copy))


def test_a_status_is_read_within_limits(copy, tmp_path):
    status = copy / "status.json"
    for text, state in (("[1]", "unreadable"), ("", "unreadable"), ('{"state": "x"}', "x")):
        status.write_text(text)
        assert RunFolder(copy).status["state"] == state
    with pytest.raises(ConfigError, match=r"\(x\)"):
        RunFolder(copy).claim(fresh=True)
    status.write_text(" " * (untrusted.LARGEST + 1))
    with pytest.raises(CheckpointError, match="larger than"):
        _ = RunFolder(copy).status
    assert RunFolder(tmp_path / "none").status == {}


def test_malformed_fitted_values_are_exit_code_5(copy, tmp_path, capsys):
    path = copy / "postprocess.json"
    postprocess = json.loads(path.read_text())
    for fitted in ({}, {"temperature": "x"}):
        path.write_text(json.dumps(postprocess | {"fitted": fitted}))
        assert evaluate(tmp_path / f"e{len(str(fitted))}", f"run={copy}") == 5
        assert "postprocess.json" in capsys.readouterr().err


def header(shape: tuple[int, ...], descr: str = "<i8") -> bytes:
    """Build an npy file's header, without the data."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=True)
    return buffer.getvalue()


def headed(text: bytes) -> bytes:
    """Build an npy file with any text as its header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


ODD = {  # on which NumPy's parser fails in ways of its own: MemoryError, TokenError, ...
    "open brackets": headed(b"{'descr': (((\n"),
    "endless signs": headed(b"-" * 9000 + b"1\n"),
    "lines that do not align": headed(b"  {}\n 3\n"),
    "an archive": b"PK\x03\x04x",
}
META = {"version": 1, "fields": {"loss": "float16"}}
STORES: dict[str, Callable[[Path], tuple[str, bytes]]] = {
    "objects": lambda marker: ("ids.npy", npy(np.array([Evil(marker)], object))),
    "a huge header": lambda _: ("ids.npy", header((2**40,))),
    "an overflowing header": lambda _: ("ids.npy", header((2**62, 2**62))),
    **{case: lambda _, data=data: ("ids.npy", data) for case, data in ODD.items()},
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
    "a negative number of examples": lambda _: (
        "meta.json",
        json.dumps(META | {"examples": -4}).encode(),
    ),
    "a field elsewhere": lambda _: ("meta.json", b'{"examples": 4, "fields": {"../../loss": 1}}'),
    "too large": lambda _: ("meta.json", b" " * (untrusted.LARGEST + 1)),
    "deep": lambda _: ("meta.json", b"[" * 100_000),
}


def test_a_hostile_store_is_refused(copy, marker):
    for case, build in STORES.items():
        name, data = build(marker)
        path = copy / "examples" / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"examples .*difficulty store"):
            history.open(copy)
        assert not marker.exists(), case
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    assert len(history.open(copy).ids) > 0


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_predictions_with_an_odd_header_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / predicted.FILE
    path.parent.mkdir()
    path.write_bytes(data)
    said = r"cannot be read: it is (not an array|an archive)"
    with pytest.raises(CheckpointError, match=said) as raised:
        predicted.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_arrays_that_the_store_does_not_use_are_not_read(copy):
    (copy / "examples" / "more.npy").write_bytes(b"not an array")
    assert len(history.open(copy).ids) > 0
