"""Checkpoints: a folder that is either whole or not there, and is never trusted unread.

`step-<n>/` holds `model.safetensors`, `state.pt`, `config.json` and `manifest.json` with the size
and SHA-256 of the others. It is written beside as `.tmp-*`, synced, and renamed once. The latest
checkpoint is the highest step that verifies: there is no pointer file to be wrong.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, DiskError
from trainer.storage.untrusted import check_archive, check_file, read_json

FILES = ("model.safetensors", "state.pt", "config.json")
NAME = re.compile(r"step-(\d+)(\.old)?")
SPARE = 2**20  # bytes free below which a failed write is put down to a full disk


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds."""

    path: Path
    model: dict[str, Tensor]
    state: dict[str, Any]
    config: dict[str, Any]


class Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write and hash."""
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self.file.flush()


def save(
    folder: Path, step: int, model: dict[str, Tensor], state: dict[str, Any], config: dict[str, Any]
) -> Path:
    """Write `folder/step-<n>`, replacing one of the same step. Raises DiskError when it is full."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step}"
    work = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder))
    writers: dict[str, Callable[[Hashing], Any]] = {
        "model.safetensors": lambda file: file.write(safetensors.torch.save(plain(model))),
        "state.pt": lambda file: torch.save(state, file),  # pyright: ignore
        "config.json": lambda file: file.write(json.dumps(config, indent=2).encode()),
    }
    try:
        manifest = {name: write(work / name, writers[name]) for name in FILES}
        body = json.dumps(manifest, indent=2).encode()
        write(work / "manifest.json", lambda file: file.write(body))
        sync(work)
        if target.exists():  # the same step again, after a stop in its validation
            target.rename(old(target))
        work.rename(target)
        sync(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise disk_error(error, folder) from error
    sweep(folder)
    return target


def write(path: Path, writer: Callable[[Hashing], Any]) -> dict[str, Any]:
    """Write a file to the disk; its size and hash."""
    with path.open("wb") as file:
        hashing = Hashing(file)
        writer(hashing)
        file.flush()
        os.fsync(file.fileno())
    return {"size": hashing.size, "sha256": hashing.hash.hexdigest()}


def plain(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each with memory of its own (tied weights are written twice)."""
    seen: set[int] = set()
    tensors = {}
    for name, value in model.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return tensors


def sync(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: Exception, folder: Path) -> Exception:
    """DiskError where the disk is full (torch hides the reason); otherwise the error itself."""
    known = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if known or (not isinstance(error, OSError) and shutil.disk_usage(folder).free < SPARE):
        return DiskError(f"disk full: no room for a checkpoint in {folder}; the last one stands")
    return error


def old(path: Path) -> Path:
    """Where a checkpoint stands while another of its step takes its place."""
    return path.with_name(f"{path.name}.old")


def sweep(folder: Path) -> None:
    """Remove what interrupted saves left, and what has been replaced."""
    replaced = [path for path in folder.glob("step-*.old") if path.with_suffix("").is_dir()]
    for path in [*folder.glob(".tmp-*"), *replaced]:
        shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int, protected: set[int]) -> None:
    """Remove all but the newest `keep` checkpoints and the protected steps."""
    for step in steps(folder)[keep:]:
        if step not in protected:
            shutil.rmtree(at(folder, step), ignore_errors=True)


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint, verified or not, newest first."""
    if not folder.is_dir():
        return []
    found = (NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted({int(match[1]) for match in found if match}, reverse=True)


def at(folder: Path, step: int) -> Path:
    """The checkpoint of a step; the replaced one where its successor never came."""
    path = folder / f"step-{step}"
    return path if path.is_dir() else old(path)


def verify(path: Path) -> None:
    """Raise CheckpointError, with the reason, unless every file is as the manifest says."""
    if path.is_symlink():
        raise CheckpointError(f"{path} is a link")
    try:
        manifest = read_json(path / "manifest.json")
        for name in FILES:
            file = path / name
            check_file(file)
            if file.stat().st_size != manifest[name]["size"]:
                raise CheckpointError(f"{file} does not have the size its manifest says")
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest != manifest[name]["sha256"]:
                raise CheckpointError(f"{file} is damaged: its SHA-256 is not the manifest's")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error


def load(path: Path) -> Checkpoint:
    """Verify and read one checkpoint. Nothing in it is executed."""
    verify(path)
    config = read_json(path / "config.json")
    check_archive(path / "state.pt")
    try:
        model = safetensors.torch.load_file(path / "model.safetensors")
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file provokes
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / 'state.pt'} holds no mapping")
    return Checkpoint(path, model, state, config)


def latest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies, None where there is none at all.

    Raises CheckpointError with each reason when there are some and all are damaged.
    """
    reasons = []
    for step in steps(folder):
        try:
            checkpoint = load(at(folder, step))
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        if reasons:
            warn(f"{'; '.join(reasons)}; using {checkpoint.path} instead")
        return checkpoint
    if reasons:
        raise CheckpointError("; ".join(reasons))
    return None
