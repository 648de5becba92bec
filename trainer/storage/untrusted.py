"""Files that may come from anywhere: what is wrong with one is found before it is read.

A run folder holds plain files of its own: a link could make a run read, or write, what lies
elsewhere. Text is of a size that can be meant, and an archive unpacks to no more than it is.
"""

import json
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.core.errors import CheckpointError

LARGEST = 2**20  # bytes of a config, a status or a manifest
MAGIC = b"PK\x03\x04"  # how a zip begins, and by which torch tells its format from older ones


def check_file(path: Path, largest: int | None = None) -> None:
    """Raise CheckpointError unless a path is a file, no link, of at most `largest` bytes."""
    try:
        about = path.lstat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(about.st_mode):
        raise CheckpointError(f"{path} is a link")
    if not stat.S_ISREG(about.st_mode):
        raise CheckpointError(f"{path} is no file")
    if about.st_nlink > 1:
        names = f"its data has {about.st_nlink} names"
        raise CheckpointError(f"{path} is a hard link ({names}); copy the folder and give the copy")
    if largest is not None and about.st_size > largest:
        raise CheckpointError(f"{path} is larger than {largest:,} bytes")


def check_tree(folder: Path) -> None:
    """Raise CheckpointError where something below a run folder is neither a folder nor a file."""
    for parent, folders, files in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if path.is_symlink():
                raise CheckpointError(f"{path} is a link")
        for name in files:
            path = Path(parent, name)
            if path.is_symlink() or path.exists():  # a run that goes on takes files away
                check_file(path)


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file. Raises CheckpointError where it is none, or too large."""
    check_file(path, largest)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_json(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The mapping in a JSON file. Raises CheckpointError where it is none, or too large."""
    try:
        held = json.loads(read_text(path, largest))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path} holds no mapping")
    return held


def check_archive(path: Path) -> None:
    """Raise CheckpointError unless a file is a zip as torch.save writes it.

    What is in it is stored as it is, each part once, under a name that stays inside.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise CheckpointError(f"{path} is not in the format of torch.save")
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
            raise CheckpointError(f"{path} has an entry outside of it: {entry.filename}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise CheckpointError(f"{path} has a link in it: {entry.filename}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(f"{path} has a compressed entry: {entry.filename}")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path} has entries that overlap")
