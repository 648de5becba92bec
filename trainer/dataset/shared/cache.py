"""Bytes that are quicker read than made again, such as decoded images, in files of one folder.

A file holds a mark, the key of what it was made from, the bytes, and the SHA-256 of all that. It is
read only where each of them is right; nothing in it is run. It appears by one rename, so that of
several processes that write the same file the last one stands, whole.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

MARK = b"trainer cache 1\n"  # another number for another layout
SUFFIX, UNFINISHED = ".cache", ".unfinished"
HASHED_AT_ONCE = 2**20  # bytes that a processor's cache holds between two uses
UNUSED, STALE = 30 * 86400.0, 86400.0  # seconds until a file, whole or unfinished, is removed


class Files:
    """Some files, and what tells whether one of them has changed."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.root = os.path.commonpath([min(paths), max(paths)]) if paths else ""

    @cached_property
    def fingerprint(self) -> bytes | None:
        """Of names below the root, sizes and times of change; None where a file is absent.

        A change that keeps size and time of modification still shows in the time of the inode's.
        """
        hashed = hashlib.sha256()
        try:
            for path in self.paths:
                held = os.stat(path)  # noqa: PTH116  (of Path objects there would be too many)
                times = f"\0{held.st_size} {held.st_mtime_ns} {held.st_ctime_ns}\0"
                hashed.update(os.fsencode(path[len(self.root) :]) + times.encode())
        except OSError:
            return None
        return hashed.digest()


class Cache:
    """Reads and writes the files of a folder; None keeps nothing.

    A file is named by the folder that it was made from, which has one of a kind at a time. Those
    that no run has used for 30 days are removed. Where the folder cannot be written, `warn` is told
    so once.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.warn = warn

    def recall(
        self, about: str, files: Files, shape: tuple[int, ...], make: Callable[[], Tensor]
    ) -> Tensor:
        """What was made of files in a way that `about` tells, uint8; else it is made, and kept.

        Where one of the files has changed, is new or is gone, all of it is made anew.
        """
        if self.folder is None or files.fingerprint is None:
            return make()
        key = hashlib.sha256(about.encode() + files.fingerprint).digest()
        place = hashlib.sha256(os.fsencode(os.path.realpath(files.root)) + about.encode())
        name = f"{about.split(maxsplit=1)[0]}-{place.hexdigest()[:24]}"
        held = self.read(name, key, shape)
        if held is None:
            held = make()
            self.write(name, key, held)
        return held

    def read(self, name: str, key: bytes, shape: tuple[int, ...]) -> Tensor | None:
        """What was written under a name, uint8; None where it is not there, damaged or stale."""
        if self.folder is None:
            return None
        path = self.folder / (name + SUFFIX)
        try:
            with path.open("rb") as file:
                head = file.read(len(MARK) + len(key))
                size = os.fstat(file.fileno()).st_size
                values = torch.empty(shape, dtype=torch.uint8)
                hashed = hashlib.sha256(head)
                if head != MARK + key or size != len(head) + values.nbytes + hashed.digest_size:
                    return None
                for part in pieces(values):
                    if file.readinto(part) != len(part):  # another process has cut it short
                        return None
                    hashed.update(part)
                if file.read() != hashed.digest():
                    return None
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return values

    def write(self, name: str, key: bytes, values: Tensor) -> None:
        """Keep values uint8 under a name. A folder that cannot be written is not tried again."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tidy(self.folder)
            self.replace(self.folder / (name + SUFFIX), key, values)
        except OSError as error:
            self.warn(
                f"dataset.cache: {self.folder} cannot be written: {error.strerror or error}; "
                "images are decoded anew in each run; dataset.cache=null tries nothing"
            )
            self.folder = None

    @staticmethod
    def replace(path: Path, key: bytes, values: Tensor) -> None:
        """Write a file whole, or leave it as it was."""
        hashed = hashlib.sha256(MARK + key)
        file = NamedTemporaryFile(dir=path.parent, suffix=UNFINISHED, delete=False)  # noqa: SIM115
        try:
            with file:
                file.write(MARK + key)
                for part in pieces(values):
                    hashed.update(part)
                    file.write(part)
                file.write(hashed.digest())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


NO_CACHE = Cache(None, lambda _: None)


def pieces(values: Tensor) -> Iterator[memoryview]:
    """The bytes of contiguous uint8 values, in pieces that share their memory."""
    flat = memoryview(values.flatten().numpy().data)
    return (flat[i : i + HASHED_AT_ONCE] for i in range(0, len(flat), HASHED_AT_ONCE))


def tidy(folder: Path) -> None:
    """Remove what has not been used for long, and what killed processes left; no others' files."""
    now = time.time()
    for suffix, age in ((SUFFIX, UNUSED), (UNFINISHED, STALE)):
        for path in folder.glob("*" + suffix):
            with suppress(OSError):
                if now - path.stat().st_mtime > age:
                    path.unlink()


def standard_folder() -> Path | None:
    """`trainer` in $XDG_CACHE_HOME or ~/.cache; None where there is no home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "trainer"
    except RuntimeError:
        return None
