"""Decoded images in a file of the cache that is mapped into memory: for sets larger than it.

The file holds a magic number, the key of its inputs, the images one after the other, the CRC-32 of
each, and the SHA-256 of all but the images. So opening it reads a few bytes an image, and an image
is checked when it is read. As for the other files of trainer.dataset.shared.cache, the folder must
be the user's alone, and the file appears by one atomic rename.
"""

import hashlib
import mmap
import os
import secrets
import stat
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from torch import Tensor

from trainer.core.errors import ConfigError, DataError, DiskError, disk_error
from trainer.dataset.shared.cache import (
    SUFFIX,
    UNFINISHED,
    Cache,
    Files,
    NotPrivateError,
    name_and_key,
    open_private,
    remove_old_files,
)
from trainer.dataset.shared.regular_file import open_regular

Chunks: TypeAlias = Iterator[tuple[range, Tensor]]  # ids in order and their images uint8 [n, ...]

MAGIC = b"trainer map 1\n\0\0"  # change the number with the layout
SETTING = "loader.cache=mmap"
SYNCED_AT_ONCE = 2**28  # bytes written and not on disk yet


class MappedImages:
    """Images uint8 [M, ...] in a mapped file: the system keeps in memory what it has room for."""

    def __init__(
        self, file: BinaryIO, path: Path, first: int, shape: tuple[int, ...], checks: np.ndarray
    ) -> None:
        """Of an open file in which the images begin at byte `first`; CRC-32 `checks` [M]."""
        self.path = path
        self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)
        self.first = first
        self.checks = checks
        self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.mapping.madvise(mmap.MADV_RANDOM)  # read what is asked for, not megabytes around it
        count = int(np.prod(shape))
        self.rows = np.frombuffer(self.mapping, np.uint8, count, first).reshape(shape)
        self.stride = count // max(shape[0], 1)

    def ask_for(self, ids: np.ndarray) -> None:
        """Have the system read the images `ids` ahead, in the order they have on the disk."""
        ids = np.unique(ids)
        breaks = np.flatnonzero(np.diff(ids) != 1) + 1
        for run in np.split(ids, breaks) if len(ids) else ():
            start, length = self.first + int(run[0]) * self.stride, len(run) * self.stride
            os.posix_fadvise(self.descriptor, start, length, os.POSIX_FADV_WILLNEED)

    def read_into(self, out: np.ndarray, ids: np.ndarray) -> list[int]:
        """Copy the images `ids` into uint8 [len(ids), ...]; return the places of damaged ones."""
        self.ask_for(ids)
        np.take(self.rows, ids, axis=0, out=out, mode="clip")
        wanted = self.checks[ids].tolist()
        return [i for i, row in enumerate(out) if zlib.crc32(row) != wanted[i]]


def map_or_make(
    cache: Cache, about: str, files: Files, shape: tuple[int, ...], make: Callable[[], Chunks]
) -> MappedImages:
    """The images uint8 of a shape [M, ...], mapped from the cache; `make` decodes them if need be.

    Raises ConfigError where the cache cannot be used, DataError from `make`, and DiskError where
    the disk is full.
    """
    if cache.folder is None:
        raise ConfigError(
            f"{SETTING} keeps the decoded images in the folder of dataset.cache, and there is "
            "none; set dataset.cache to a folder on a disk with room for them"
        )
    if files.fingerprint is None:
        raise DataError(f"files below {files.root} have disappeared since they were listed")
    name, key = name_and_key(about, files.root, files.fingerprint)
    try:
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = cache.folder / (name + SUFFIX)
        with open_private(cache.folder) as folder:
            found = open_mapped(folder, path, key, shape)
            if found is None:
                write_mapped(folder, path, key, shape, make())
                found = open_mapped(folder, path, key, shape)
    except NotPrivateError as error:
        raise ConfigError(
            f"{SETTING}: the cache folder {cache.folder} is not used: {error}; or set "
            "dataset.cache to another folder"
        ) from error
    except OSError as error:
        raise disk_error(error, cache.folder) from error
    if found is None:
        raise DiskError(f"{path} cannot be read back as it was written")
    return found


def open_mapped(folder: int, path: Path, key: bytes, shape: tuple[int, ...]) -> MappedImages | None:
    """The images in a file of an open folder; None where there is no whole one with this key."""
    try:
        file = open_regular(path.name, folder=folder, follow_link=False)
    except OSError:
        return None
    with file:
        head, found = file.read(len(MAGIC) + len(key)), os.fstat(file.fileno())
        images, ends = int(np.prod(shape)), 4 * shape[0] + hashlib.sha256().digest_size
        size = len(head) + images + ends
        if head != MAGIC + key or (found.st_size, found.st_uid) != (size, os.geteuid()):
            return None
        file.seek(len(head) + images)
        checks = file.read(4 * shape[0])
        if file.read() != hashlib.sha256(head + checks).digest():
            return None
        with suppress(OSError):
            os.utime(file.fileno())  # marks the file as used
        return MappedImages(file, path, len(head), shape, np.frombuffer(checks, "<u4"))


def write_mapped(
    folder: int, path: Path, key: bytes, shape: tuple[int, ...], chunks: Chunks
) -> None:
    """Write the file into an open folder completely, or not at all: a chunk in memory at a time.

    Raises DiskError where the disk has too little room for it, before anything is decoded.
    """
    remove_old_files(folder)
    with suppress(OSError):  # an outdated file; a process that has mapped it keeps it
        if stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(path.name, dir_fd=folder)
    size, disk = int(np.prod(shape)), os.fstatvfs(folder)
    if (free := disk.f_bavail * disk.f_frsize) < size:
        raise DiskError(
            f"{SETTING} needs {size / 1e9:,.1f} GB in {path.parent}, which has "
            f"{free / 1e9:,.1f} GB free; set dataset.cache to a folder on a larger disk, or lower "
            "dataset.size"
        )
    unfinished = f"{path.stem}-{secrets.token_hex(8)}{UNFINISHED}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=folder), "wb")
    try:
        with file:
            file.write(MAGIC + key)
            checks = write_rows(file, shape[0], chunks)
            file.write(checks.data)
            file.write(hashlib.sha256(MAGIC + key + checks.tobytes()).digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise


def write_rows(file: BinaryIO, number: int, chunks: Chunks) -> np.ndarray:
    """Write images in order; return the CRC-32 of each, [M].

    What is written goes to the disk bit by bit, so that little memory waits to be written.
    """
    checks, waiting = np.zeros(number, "<u4"), 0
    for ids, part in chunks:
        rows = np.ascontiguousarray(part.numpy())
        checks[ids.start : ids.stop] = [zlib.crc32(row) for row in rows]
        file.write(rows.data)
        waiting += part.nbytes
        if waiting > SYNCED_AT_ONCE:
            file.flush()
            os.fdatasync(file.fileno())
            waiting = 0
    return checks
