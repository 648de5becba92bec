"""Checks files of unknown origin before they are read.

A run folder may contain regular files only: a link could make a run read or write elsewhere. Text
files have a size limit, and an archive must not unpack to more bytes than it has.
"""

import json
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.core.errors import CheckpointError, disk_error

LARGEST = 2**20  # bytes of a config, a status or a manifest
MAGIC = b"PK\x03\x04"  # the first bytes of a zip; torch's older formats begin otherwise


def check_file(path: Path, largest: int | None = None) -> None:
    """Raise CheckpointError unless a path is a regular file, not a link, of <= `largest` bytes."""
    try:
        about = path.lstat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(about.st_mode):
        raise CheckpointError(f"{path} is a link; copy the file itself")
    if not stat.S_ISREG(about.st_mode):
        raise CheckpointError(f"{path} is not a regular file")
    if about.st_nlink > 1:
        names = f"its data has {about.st_nlink} names"
        raise CheckpointError(f"{path} is a hard link ({names}); copy the folder and give the copy")
    if largest is not None and about.st_size > largest:
        raise CheckpointError(f"{path} is larger than {largest:,} bytes: {about.st_size:,}")


def has_file(folder: Path, name: str) -> bool:
    """Whether a folder holds a file. Raises DiskError where it cannot be looked into."""
    try:
        return (folder / name).is_file()
    except OSError as error:
        raise disk_error(error, folder) from error


def check_tree(folder: Path) -> None:
    """Raise CheckpointError if a folder contains, at any depth, a link or a special file."""
    for parent, folders, files in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if path.is_symlink():
                raise CheckpointError(f"{path} is a link; copy the folder itself")
        for name in files:
            path = Path(parent, name)
            if path.is_symlink() or path.exists():  # a run in progress may have removed it
                check_file(path)


def check_entries(folder: Path) -> None:
    """Raise CheckpointError if an entry of a folder is neither a folder nor a regular file.

    A folder that does not exist has none. What is below its folders is not checked.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            check_file(path)


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Read a UTF-8 text file of at most `largest` bytes. Raises CheckpointError for any other."""
    check_file(path, largest)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_json(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """Read the mapping in a JSON file of at most `largest` bytes. Raises CheckpointError."""
    try:
        value = json.loads(read_text(path, largest))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not contain a mapping")
    return value


def check_archive(path: Path) -> None:
    """Raise CheckpointError unless a file is a zip as torch.save writes it.

    Its entries must be uncompressed, must not overlap, and must not have paths outside the archive.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise CheckpointError(f"{path} is not in the format of torch.save")
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
            raise CheckpointError(f"{path} has an entry outside itself: {entry.filename}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise CheckpointError(f"{path} contains a link: {entry.filename}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(f"{path} has a compressed entry: {entry.filename}")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path} has entries that overlap")
