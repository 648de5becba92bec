"""No pickle runs in any format of torch; archives are checked before they are unpacked."""

import io
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hostile import Evil, evaluate, forge, only_checkpoint, saved
from support import train
from torch import nn

from trainer.core.errors import CheckpointError
from trainer.model.shared.pretrained import read_state_dict
from trainer.storage import checkpoint, untrusted


def as_tar(evil: Evil) -> bytes:
    """The format of torch before 0.1.10: pickles in a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            body = pickle.dumps(evil)
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def as_script(evil: Evil) -> bytes:
    """TorchScript, with the payload as its data."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
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
    "tar": as_tar,
    "TorchScript": as_script,
    **{f"pickle {n}": lambda evil, n=n: pickle.dumps(evil, protocol=n) for n in (0, 2, 5)},
}


@pytest.mark.parametrize("kind", FORMATS)
def test_no_pickle_runs(copy, marker, monkeypatch, kind):
    """Neither as a checkpoint's state nor as initial weights, whatever the environment says."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    data = FORMATS[kind](Evil(marker))
    path = only_checkpoint(copy)
    forge(path, "state.pt", data)
    with pytest.raises(CheckpointError, match=r"state\.pt|step-"):
        checkpoint.load(path)
    weights = copy / "weights.pth"
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"weights\.pth is refused"):
        read_state_dict(str(weights))
    assert not marker.exists()
    pickle.loads(pickle.dumps(Evil(marker)))  # noqa: S301  (the payload does work)
    assert marker.exists()


def test_pickled_weights_are_not_safetensors(copy, marker):
    path = only_checkpoint(copy)
    forge(path, "model.safetensors", saved(Evil(marker)))
    with pytest.raises(CheckpointError, match="cannot be read"):
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
    """A state whose last entry is changed before it is written."""
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
    """Both entries of the directory are the same bytes of the file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a/data/0", bytes(100_000))
        twin = zipfile.ZipInfo("a/data/1")
        vars_of = made.filelist[0]
        for name in ("header_offset", "CRC", "compress_size", "file_size"):
            setattr(twin, name, getattr(vars_of, name))
        made.filelist.append(twin)
    return buffer.getvalue()


ARCHIVES = {
    "compressed": (lambda: archive(set_to(compress_type=zipfile.ZIP_DEFLATED)), "a compressed ent"),
    "up": (lambda: archive(set_to(filename="x/../../../up")), "an entry outside itself"),
    "absolute": (lambda: archive(set_to(filename="/etc/up")), "an entry outside itself"),
    "link": (lambda: archive(set_to(external_attr=0o120777 << 16)), "contains a link"),
    "overlapping": (overlapping, "entries that overlap"),
    "no zip at all": (lambda: b"PK\x03\x04" + bytes(100), "cannot be read"),
}


@pytest.mark.parametrize(("make", "message"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_is_refused_before_it_is_unpacked(copy, monkeypatch, make, message):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    path = only_checkpoint(copy)
    forge(path, "state.pt", make())
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


def test_what_torch_saves_passes(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(saved({"a": [torch.zeros(3), torch.ones(2, 2)], "b": {"c": "d"}}))
    untrusted.check_archive(path)


def test_a_state_that_is_not_a_mapping_is_refused(copy):
    forge(only_checkpoint(copy), "state.pt", saved([1, 2]))
    with pytest.raises(CheckpointError, match="does not contain a mapping"):
        checkpoint.load(only_checkpoint(copy))
