"""Pickles in any of torch's formats run no code; an archive is checked before it is unpacked."""

import io
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hostile import Evil, evaluate, only_checkpoint
from support import train
from torch import nn
from torture_parts.foreign_state import forge, saved

from trainer.core.errors import CheckpointError
from trainer.model.shared.pretrained import read_state_dict
from trainer.storage import checkpoint, untrusted


def tar_of(evil: Evil) -> bytes:
    """Build torch's format before 0.1.10: pickles in a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            body = pickle.dumps(evil)
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def script_of(evil: Evil) -> bytes:
    """Build a TorchScript archive with the payload as its data."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), buffer)
    changed = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            evil_here = entry.filename.endswith(("data.pkl", "constants.pkl"))
            new.writestr(entry.filename, pickle.dumps(evil) if evil_here else old.read(entry))
    return changed.getvalue()


FORMATS: dict[str, Callable[[Evil], bytes]] = {
    "zip": saved,
    "zip, nested": lambda evil: saved({"progress": [{"step": evil}]}),
    "before 1.6": lambda evil: saved(evil, _use_new_zipfile_serialization=False),
    "tar": tar_of,
    "TorchScript": script_of,
    **{f"pickle {n}": lambda evil, n=n: pickle.dumps(evil, protocol=n) for n in range(6)},
}


@pytest.mark.parametrize("unsafe", ["", "1"], ids=["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_no_pickle_runs(copy, marker, monkeypatch, unsafe):
    """Neither as a checkpoint's state nor as initial weights."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", unsafe)
    path, weights = only_checkpoint(copy), copy / "weights.pth"
    for name, build in FORMATS.items():
        data = build(Evil(marker))
        forge(path, "state.pt", data)
        with pytest.raises(CheckpointError, match=r"state\.pt|step-"):
            checkpoint.load(path)
        weights.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"weights\.pth"):
            read_state_dict(str(weights))
        assert not marker.exists(), name
    pickle.loads(pickle.dumps(Evil(marker)))  # noqa: S301  (the payload does work)
    assert marker.exists()


def test_pickled_weights_are_not_safetensors(copy, marker):
    path = only_checkpoint(copy)
    forge(path, "model.safetensors", saved(Evil(marker)))
    with pytest.raises(CheckpointError, match="read"):
        checkpoint.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("overrides", [["resume=auto", "epochs=2"], ["run={}"]], ids=["resume", ""])
def test_a_run_with_a_pickle_is_exit_code_5(copy, tmp_path, marker, capsys, overrides):
    forge(only_checkpoint(copy), "state.pt", saved({"saver": Evil(marker)}))
    if overrides[0] == "resume=auto":
        (copy / "status.json").write_text('{"state": "preempted"}')
        settings = ["model.hidden=[16]", "postprocess=temperature", *overrides]
        assert train(copy, *settings) == CheckpointError.exit_code
    else:
        assert evaluate(tmp_path / "e", overrides[0].format(copy)) == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(only_checkpoint(copy)) in error
    assert not marker.exists()


def archive(change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    """Build a state whose last entry is changed before it is written."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(64)}))) as old:
        entries = old.infolist()
        with zipfile.ZipFile(changed, "w") as new:
            for entry in entries:
                body = old.read(entry)
                if entry is entries[-1]:
                    change(entry)
                new.writestr(entry, body)
    return changed.getvalue()


def set_to(**values: Any) -> Callable[[zipfile.ZipInfo], None]:
    def change(entry: zipfile.ZipInfo) -> None:
        for name, value in values.items():
            setattr(entry, name, value)

    return change


def overlapping() -> bytes:
    """Build an archive of two entries that are the same bytes of the file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a/data/0", bytes(100_000))
        twin = zipfile.ZipInfo("a/data/1")
        first = made.filelist[0]
        for name in ("header_offset", "CRC", "compress_size", "file_size"):
            setattr(twin, name, getattr(first, name))
        made.filelist.append(twin)
    return buffer.getvalue()


ARCHIVES = {
    "compressed": (lambda: archive(set_to(compress_type=zipfile.ZIP_DEFLATED)), "compressed"),
    "up": (lambda: archive(set_to(filename="x/../../../up")), "outside"),
    "absolute": (lambda: archive(set_to(filename="/etc/up")), "outside"),
    "link": (lambda: archive(set_to(external_attr=0o120777 << 16)), "link"),
    "overlapping": (overlapping, "overlap"),
    "no zip at all": (lambda: b"PK\x03\x04" + bytes(100), "read"),
}


def test_an_archive_is_refused_before_it_is_unpacked(copy, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpacked"))
    path = only_checkpoint(copy)
    for make, message in ARCHIVES.values():
        forge(path, "state.pt", make())
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(path)


def test_an_archive_that_torch_wrote_passes(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(saved({"a": [torch.zeros(3), torch.ones(2, 2)], "b": {"c": "d"}}))
    assert untrusted.check_archive(path) is None
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CheckpointError):
        untrusted.check_archive(path)


def test_a_state_that_is_not_a_mapping_is_refused(copy):
    forge(only_checkpoint(copy), "state.pt", saved([1, 2]))
    with pytest.raises(CheckpointError, match="mapping"):
        checkpoint.load(only_checkpoint(copy))
