"""Checkpoints: folders that are written atomically and verified before they are read.

`step-<n>/` contains `model.safetensors`, `state.pt`, `config.json`, `data.json` (older ones lack
it), and `manifest.json` with the size and SHA-256 of the others. It is written as `.tmp-*`, synced,
and renamed once. The latest checkpoint is that of the highest step that verifies: there is no
pointer file to go stale.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, DiskError, ForeignError
from trainer.core.errors import disk_error as disk_error_at
from trainer.report.strict_json import dumps
from trainer.storage.tensors import OwnTensors
from trainer.storage.untrusted import check_archive, check_file, read_json

FILES = ("model.safetensors", "state.pt", "config.json")
CONFIG = "config.json"  # the run's settings
DATA = "data.json"  # what the model was trained on
NAME = re.compile(r"step-(\d+)(\.old)?")
SPARE = 2**20  # bytes: with less than this free, a failed write is blamed on a full disk


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint."""

    path: Path  # of its folder
    model: dict[str, Tensor]  # weights and buffers, on the CPU
    state: dict[str, Any]  # of optimizer, miner, progress, ...
    config: dict[str, Any]  # settings of the run


class HashingFile:
    """A binary file that hashes and counts the bytes written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None  # torch.save replaces it by one without a reason

    def write(self, data: bytes | memoryview) -> int:
        """Write and hash `data`; return the number of bytes written."""
        self.hash.update(data)
        self.size += len(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Flush the underlying file."""
        self.file.flush()


def save(
    folder: Path,
    step: int,
    model: dict[str, Tensor],
    state: dict[str, Any],
    config: dict[str, Any],
    data: dict[str, Any] | None = None,
) -> Path:
    """Write the checkpoint `folder/step-<n>` and return its path; one of the same step is replaced.

    `data` is what the model was trained on, for `data.json`. Raises DiskError if the disk is full:
    the previous checkpoint is then intact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step}"
    work = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder))
    writers: dict[str, Callable[[HashingFile], Any]] = {
        "model.safetensors": lambda file: file.write(safetensors.torch.save(untied(model))),
        "state.pt": lambda file: torch.save(state, file),  # pyright: ignore
        "config.json": lambda file: file.write(dumps(config, indent=2).encode()),
    }
    if data is not None:
        writers[DATA] = lambda file: file.write(dumps(data, indent=2).encode())
    try:
        manifest = {name: write_file(work / name, write) for name, write in writers.items()}
        body = dumps(manifest, indent=2).encode()
        write_file(work / "manifest.json", lambda file: file.write(body))
        sync_folder(work)
        if target.exists():  # the same step again, after a stop during its validation
            target.rename(replaced(target))
        work.rename(target)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise disk_error(error, folder) from error
    remove_leftovers(folder)
    return target


def write_file(path: Path, writer: Callable[[HashingFile], Any]) -> dict[str, Any]:
    """Write and sync a file; return its entry in the manifest, size in bytes and SHA-256."""
    with path.open("wb") as file:
        hashing = HashingFile(file)
        try:
            writer(hashing)
        except RuntimeError as error:
            raise hashing.error or error from error
        file.flush()
        os.fsync(file.fileno())
    return {"size": hashing.size, "sha256": hashing.hash.hexdigest()}


def untied(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors on the CPU, each with its own memory: tied weights are written twice."""
    seen: set[int] = set()
    tensors = {}
    for name, value in model.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return tensors


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: Exception, folder: Path) -> Exception:
    """Return a DiskError if the disk failed or is full (torch hides the reason), else the error."""
    known = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if known or (not isinstance(error, OSError) and shutil.disk_usage(folder).free < SPARE):
        return DiskError(
            f"disk full: no room for a checkpoint in {folder}; the previous one is intact"
        )
    if isinstance(error, OSError):
        return disk_error_at(error, folder)
    return error


def replaced(path: Path) -> Path:
    """Return the path to which a checkpoint moves while another of its step replaces it."""
    return path.with_name(f"{path.name}.old")


def remove_leftovers(folder: Path) -> None:
    """Remove the folders of interrupted saves and of replaced checkpoints."""
    outdated = [path for path in folder.glob("step-*.old") if path.with_suffix("").is_dir()]
    for path in [*folder.glob(".tmp-*"), *outdated]:
        shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int, protected: set[int]) -> None:
    """Remove all checkpoints except the newest `keep` and those of the protected steps."""
    for step in steps(folder)[keep:]:
        if step not in protected:
            shutil.rmtree(step_folder(folder, step), ignore_errors=True)


def set_aside(folder: Path, after: int) -> list[str]:
    """Rename the checkpoints of steps above `after` to `step-<n>.aside`; returns the new names.

    They are damaged, or of a course that the run leaves: nothing reads or removes them any more.
    """
    renamed = []
    for step in steps(folder):
        if step > after:
            path = step_folder(folder, step)
            target = path.with_name(f"step-{step}.aside")
            number = 2
            while target.exists():
                target = path.with_name(f"step-{step}.aside{number}")
                number += 1
            path.rename(target)
            renamed.append(target.name)
    return renamed


def steps(folder: Path) -> list[int]:
    """List the steps that have a checkpoint, verified or not, newest first."""
    if not folder.is_dir():
        return []
    matches = (NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted({int(match[1]) for match in matches if match}, reverse=True)


def step_folder(folder: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint; the replaced one if its successor is missing."""
    path = folder / f"step-{step}"
    return path if path.is_dir() else replaced(path)


def verify(path: Path) -> None:
    """Raise CheckpointError, with the reason, unless every file matches the manifest."""
    if path.is_symlink():
        raise CheckpointError(f"{path} is a link; copy the checkpoint itself")
    try:
        manifest = read_json(path / "manifest.json")
        for name in (*FILES, DATA) if DATA in manifest else FILES:
            file = path / name
            check_file(file)
            if file.stat().st_size != manifest[name]["size"]:
                raise CheckpointError(f"{file} is damaged: its size does not match its manifest")
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest != manifest[name]["sha256"]:
                raise CheckpointError(f"{file} is damaged: its SHA-256 does not match its manifest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error


def load(path: Path) -> Checkpoint:
    """Verify and read a checkpoint; nothing in it is executed. Raises CheckpointError."""
    verify(path)
    config = read_json(path / "config.json")
    check_archive(path / "state.pt")
    try:
        model = safetensors.torch.load_file(path / "model.safetensors")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about tensors that are refused below
            state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file may provoke any
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / 'state.pt'} does not contain a mapping")
    return Checkpoint(path, model, OwnTensors()(state, f"{path / 'state.pt'}: state"), config)


def latest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Load the newest checkpoint that verifies; None if the folder has no checkpoint.

    Each damaged one is reported by `warn`. Raises CheckpointError, with every reason, if all are
    damaged, and ForeignError for one whose tensors are not those of a run.
    """
    reasons = []
    for step in steps(folder):
        try:
            checkpoint = load(step_folder(folder, step))
        except ForeignError:
            raise
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        if reasons:
            warn(f"{'; '.join(reasons)}; using {checkpoint.path} instead")
        return checkpoint
    if reasons:
        raise CheckpointError("; ".join(reasons))
    return None
