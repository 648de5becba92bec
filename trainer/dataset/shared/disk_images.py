"""Decoded images that stay in a file of the cache: for sets larger than memory.

The file holds a magic number, the key of its inputs, the images one after the other, the CRC-32 of
each, and the SHA-256 of all but the images. So opening it reads a few bytes an image, and an image
is checked when it is read. As for the other files of trainer.dataset.shared.cache, the folder must
be the user's alone, and the file appears by one atomic rename.

Images are read by `preadv`, after the kernel was told of all that a batch needs. A memory map was
no faster, and slower for neighbours (scripts/README.md), and with it a disk that fails would kill
the process with SIGBUS.
"""

import errno
import hashlib
import os
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
    Cache,
    Files,
    NotPrivateError,
    appearing,
    name_and_key,
    open_private,
    remove_old_files,
)
from trainer.dataset.shared.regular_file import open_regular

Chunks: TypeAlias = Iterator[tuple[range, Tensor]]  # ids in order and their images uint8 [n, ...]

MAGIC = b"trainer disk 1\n\0"  # change the number with the layout
SETTING = "loader.cache=mmap"
BUFFERS = 1024  # that one call of preadv takes
READ_AT_ONCE = 2**28  # bytes
SYNCED_AT_ONCE = 2**28  # bytes written and not on disk yet


class DiskImages:
    """Images uint8 [M, ...] in a file: the system keeps in memory what it has room for."""

    def __init__(
        self, file: BinaryIO, path: Path, first: int, shape: tuple[int, ...], checks: np.ndarray
    ) -> None:
        """Of an open file in which the images begin at byte `first`; CRC-32 `checks` [M]."""
        self.path = path
        self.first = first
        self.size = int(np.prod(shape[1:]))  # bytes of an image
        self.checks = checks
        self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)

    def read_into(self, out: np.ndarray, ids: np.ndarray) -> list[int]:
        """Read the images `ids` [n] into uint8 [n, ...]; return the places of damaged ones.

        Raises DiskError where the disk fails.
        """
        try:
            self.read_runs(out, ids)
        except OSError as error:
            raise disk_error(error, self.path) from error
        wanted = self.checks[ids].tolist()
        return [i for i, row in enumerate(out) if zlib.crc32(row) != wanted[i]]

    def read_runs(self, out: np.ndarray, ids: np.ndarray) -> None:
        """Read in the order of the disk, neighbours at once. Raises OSError."""
        order = np.argsort(ids, kind="stable")
        breaks = np.flatnonzero(np.diff(ids[order]) != 1) + 1
        runs = [part for run in np.split(order, breaks) for part in parts_of(run, self.most)]
        places = [(self.first + int(ids[run[0]]) * self.size, len(run) * self.size) for run in runs]
        if len(runs) > 1 and hasattr(os, "posix_fadvise"):  # macOS has none
            for start, length in places:
                os.posix_fadvise(self.descriptor, start, length, os.POSIX_FADV_WILLNEED)
        for run, (start, length) in zip(runs, places, strict=True):
            if os.preadv(self.descriptor, [out[i].data for i in run], start) != length:
                raise OSError(errno.EIO, "the file has been cut off")

    @property
    def most(self) -> int:
        """How many images are read at once at most."""
        return max(1, min(BUFFERS, READ_AT_ONCE // max(self.size, 1)))


def parts_of(run: np.ndarray, most: int) -> list[np.ndarray]:
    """A run cut into parts of at most `most`."""
    return [run[i : i + most] for i in range(0, len(run), most)]


def keep_or_make(
    cache: Cache, about: str, files: Files, shape: tuple[int, ...], make: Callable[[], Chunks]
) -> DiskImages:
    """The images uint8 of a shape [M, ...], in a file of the cache; `make` decodes them if need be.

    Raises ConfigError where the cache cannot be used, DataError from `make`, and DiskError where
    the disk is full.
    """
    if cache.folder is None:
        raise ConfigError(
            f"{SETTING} keeps the decoded images in the folder of dataset.cache, and "
            f"{cache.fault or 'there is none'}; set dataset.cache to a folder on a disk with room "
            "for them"
        )
    if files.fingerprint is None:
        raise DataError(f"files below {files.root} have disappeared since they were listed")
    name, key = name_and_key(about, files.place, files.fingerprint)
    try:
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = cache.folder / (name + SUFFIX)
        with open_private(cache.folder) as folder:
            found = open_kept(folder, path, key, shape)
            if found is None:
                write_kept(folder, path, key, shape, make())
                found = open_kept(folder, path, key, shape)
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


def open_kept(folder: int, path: Path, key: bytes, shape: tuple[int, ...]) -> DiskImages | None:
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
        return DiskImages(file, path, len(head), shape, np.frombuffer(checks, "<u4"))


def write_kept(folder: int, path: Path, key: bytes, shape: tuple[int, ...], chunks: Chunks) -> None:
    """Write the file into an open folder completely, or not at all: a chunk in memory at a time.

    Raises DiskError where the disk has too little room for it, before anything is decoded.
    """
    remove_old_files(folder)
    with suppress(OSError):  # an outdated file; a process that has opened it keeps it
        if stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(path.name, dir_fd=folder)
    size, disk = int(np.prod(shape)), os.fstatvfs(folder)
    if (free := disk.f_bavail * disk.f_frsize) < size:
        raise DiskError(
            f"{SETTING} needs {size / 1e9:,.1f} GB in {path.parent}, which has "
            f"{free / 1e9:,.1f} GB free; set dataset.cache to a folder on a larger disk, or lower "
            "dataset.size"
        )
    with appearing(folder, path.stem) as file:
        file.write(MAGIC + key)
        checks = write_rows(file, shape[0], chunks)
        file.write(checks.data)
        file.write(hashlib.sha256(MAGIC + key + checks.tobytes()).digest())
        file.flush()
        os.fsync(file.fileno())


def write_rows(file: BinaryIO, number: int, chunks: Chunks) -> np.ndarray:
    """Write images in order; return the CRC-32 of each, [M].

    What is written goes to the disk from time to time, so that little memory waits to be written.
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
