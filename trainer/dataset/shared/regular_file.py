"""Opening what somebody else named, without waiting for a pipe or reading a device."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

PIECE = 2**22  # bytes of a text that are read at once
WITHOUT_WAITING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(
    path: str | Path, *, folder: int | None = None, follow_link: bool = True
) -> BinaryIO:
    """Open a regular file for reading; a path may be relative to the open `folder`.

    Raises OSError for anything else, which is not even opened: opening a device may act on it.
    """
    refuse_other(os.stat(path, dir_fd=folder, follow_symlinks=follow_link))
    flags = WITHOUT_WAITING | (0 if follow_link else os.O_NOFOLLOW)
    file = os.fdopen(os.open(path, flags, dir_fd=folder), "rb")
    try:
        refuse_other(os.fstat(file.fileno()))  # it may have been exchanged meanwhile
    except OSError:
        file.close()
        raise
    return file


def read_text_bytes(file: BinaryIO, most: int | None = None) -> bytearray:
    """The content of a text file: up to its first zero byte, as no text has, or `most` + 1 bytes.

    A file may claim gigabytes of zeros that take no room on the disk.
    """
    data = bytearray()
    while piece := file.read(PIECE if most is None else min(PIECE, most + 1 - len(data))):
        data += piece
        if b"\0" in piece:
            break
    return data


def refuse_other(found: os.stat_result) -> None:
    """Raise OSError for what is not a regular file."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def sha256_of(path: str | Path) -> str:
    """The hash of a regular file's content. Raises OSError."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore
