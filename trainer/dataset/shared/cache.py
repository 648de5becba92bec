"""Cache of bytes that are faster to read than to recompute, such as decoded images.

A file holds a magic number, the key of its inputs, the bytes, and the SHA-256 of all three. It is
untrusted data: it is used only if all of them match, and nothing in it is executed. It appears by
one atomic rename, so when several processes write the same file the last one wins, whole.

Whoever may write to the folder could forge pixels: it is used only if the user owns it and nobody
else may write to it, and it is opened before the check, so that it cannot be exchanged after it.
"""

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from trainer.dataset.shared.regular_file import open_regular

MAGIC = b"trainer cache 1\n"  # change the number with the layout
SUFFIX, UNFINISHED = ".cache", ".unfinished"
HASHED_AT_ONCE = 2**20  # bytes: they stay in the processor's cache between two uses
WHOLE = re.compile(r"[a-z]+-[0-9a-f]{24}" + re.escape(SUFFIX))
LEFT = re.compile(r"[a-z]+-[0-9a-f]{24}-[0-9a-f]{16}" + re.escape(UNFINISHED))
KEPT_FOR = 30 * 86400.0  # seconds since a whole file was used last
LEFT_FOR = 600.0  # since an unfinished one was written to, where nobody holds it
LEFT_FOR_SURE = 86400.0  # where the file system does not say who holds it
SAMPLED = 500  # files whose contents are compared
END = 4096  # bytes of either end of them
NAME = "trainer"  # of the cache's own folder


class NotPrivateError(Exception):
    """Somebody else owns the cache folder, or may write to it."""


class Files:
    """Source files and fingerprints that change when one of them does.

    `place` is what cache files are named after: the folder that all files are below, or, where
    others may `share_folder`, such as the shards of another split, the first of them.
    """

    def __init__(self, paths: list[str], *, share_folder: bool = False) -> None:
        self.paths = paths
        self.root = os.path.commonpath([min(paths), max(paths)]) if paths else ""
        self.place = min(paths) if share_folder and paths else self.root

    @property
    def fingerprint(self) -> bytes | None:
        """Hash of names below the root, sizes and times; None if a file is missing.

        A change that preserves size and modification time still shows in the inode's change time.
        """
        return self.hashes[0]

    @property
    def names(self) -> bytes:
        """Hash of names and sizes; missing files are marked."""
        return self.hashes[1]

    @property
    def times(self) -> bytes:
        """Hash of the modification times, which some ways to copy do not keep."""
        return self.hashes[2]

    @cached_property
    def contents(self) -> bytes:
        """Hash of the first and last 4 KiB of the files, or of 500 evenly spaced ones."""
        hashed = hashlib.sha256()
        for path in self.paths[:: -(-len(self.paths) // SAMPLED) or 1]:
            with suppress(OSError), open_regular(path) as file:
                hashed.update(file.read(END))
                file.seek(max(0, os.fstat(file.fileno()).st_size - END))
                hashed.update(file.read(END))
        return hashed.digest()

    @cached_property
    def hashes(self) -> tuple[bytes | None, bytes, bytes]:
        """`fingerprint`, `names` and `times`, from one `stat` of each file."""
        exact, names, times, missing = *(hashlib.sha256() for _ in range(3)), False
        for path in self.paths:
            name = os.fsencode(path[len(self.root) :])
            try:
                stat = os.stat(path)  # noqa: PTH116  (a Path for each file would be slow)
            except OSError:
                missing = True
                names.update(name + b"\0missing\0")
                continue
            size, time = stat.st_size, stat.st_mtime_ns
            exact.update(name + f"\0{size} {time} {stat.st_ctime_ns}\0".encode())
            names.update(name + f"\0{size}\0".encode())
            times.update(f"{time} ".encode())
        return None if missing else exact.digest(), names.digest(), times.digest()


class Cache:
    """Cached arrays in one folder; with folder None nothing is cached.

    A file is named after the place of its source and the settings of its contents. Files unused for
    30 days are removed. If the folder cannot be used, `warn` is called once, and `fault` says why.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.warn = warn
        self.fault = ""

    def get_or_make(
        self, about: str, files: Files, shape: tuple[int, ...], make: Callable[[], Tensor]
    ) -> Tensor:
        """The result of `make`, uint8 of a shape, from the cache if an earlier run left it there.

        `about` names the result and every setting it depends on. A file that is changed, added or
        removed invalidates the result as a whole.
        """
        if self.folder is None or files.fingerprint is None:
            return make()
        name, key = name_and_key(about, files.place, files.fingerprint)
        values = self.read_file(name, key, shape)
        if values is None:
            values = make()
            self.write_file(name, key, values)
        return values

    def read_file(self, name: str, key: bytes, shape: tuple[int, ...]) -> Tensor | None:
        """The values uint8 cached under a name; None if absent, damaged or out of date."""
        if self.folder is None:
            return None
        try:
            with (
                open_private(self.folder) as folder,
                open_regular(name + SUFFIX, folder=folder, follow_link=False) as file,
            ):
                return read_whole(file, key, shape)
        except NotPrivateError as error:
            self.give_up(f"is not used: {error}")
        except OSError:
            pass
        return None

    def write_file(self, name: str, key: bytes, values: Tensor) -> None:
        """Cache values uint8 under a name. If the folder cannot be written, warn and give up."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open_private(self.folder) as folder:
                remove_old_files(folder)
                write_whole(folder, name, key, values)
        except NotPrivateError as error:
            self.give_up(f"is not used: {error}")
        except OSError as error:
            self.give_up(f"cannot be written: {error.strerror or error}")

    def give_up(self, why: str) -> None:
        """Cache nothing from now on, and say why."""
        self.fault = f"the folder {self.folder} {why}"
        self.warn(
            f"dataset.cache: {self.folder} {why}; images are decoded again in every run; choose "
            "another folder, or set dataset.cache=null"
        )
        self.folder = None


NO_CACHE = Cache(None, lambda _: None)


def name_and_key(about: str, place: str, fingerprint: bytes) -> tuple[str, bytes]:
    """The name of a cache file, by the source's place and settings, and the key of its content."""
    key = hashlib.sha256(about.encode() + fingerprint).digest()
    location = hashlib.sha256(os.fsencode(os.path.realpath(place)) + about.encode())
    return f"{about.split(maxsplit=1)[0]}-{location.hexdigest()[:24]}", key


@contextmanager
def open_private(path: Path) -> Iterator[int]:
    """Open a folder. Raises NotPrivateError unless it is the user's and only the user may write."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid():
            raise NotPrivateError(f"it belongs to user {found.st_uid}, not to {os.geteuid()}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(found.st_mode)
            raise NotPrivateError(f"others may write to it (mode {mode:o}); empty it and chmod 700")
        yield folder
    finally:
        os.close(folder)


def read_whole(file: BinaryIO, key: bytes, shape: tuple[int, ...]) -> Tensor | None:
    """The values of a cache file; None if it is damaged, out of date, or somebody else's."""
    head = file.read(len(MAGIC) + len(key))
    found = os.fstat(file.fileno())
    values = torch.empty(shape, dtype=torch.uint8)
    hashed = hashlib.sha256(head)
    size = len(head) + values.nbytes + hashed.digest_size
    if head != MAGIC + key or (found.st_size, found.st_uid) != (size, os.geteuid()):
        return None
    for part in pieces(values):
        if file.readinto(part) != len(part):  # truncated by another process meanwhile  # pyright: ignore
            return None
        hashed.update(part)
    if file.read() != hashed.digest():
        return None
    with suppress(OSError):
        os.utime(file.fileno())  # marks the file as used
    return values


def write_whole(folder: int, name: str, key: bytes, values: Tensor) -> None:
    """Write a cache file into an open folder completely, or leave what is there."""
    hashed = hashlib.sha256(MAGIC + key)
    with appearing(folder, name) as file:
        file.write(MAGIC + key)
        for part in pieces(values):
            hashed.update(part)
            file.write(part)
        file.write(hashed.digest())


@contextmanager
def appearing(folder: int, name: str) -> Iterator[BinaryIO]:
    """Write a cache file into an open folder: it appears when the block ends without an error."""
    unfinished = f"{name}-{secrets.token_hex(8)}{UNFINISHED}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=folder), "wb")
    try:
        with file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        os.replace(unfinished, name + SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise


def pieces(values: Tensor) -> Iterator[memoryview]:
    """The bytes of contiguous uint8 values [...], in chunks that share their memory."""
    data = memoryview(values.flatten().numpy().data)
    return (data[i : i + HASHED_AT_ONCE] for i in range(0, len(data), HASHED_AT_ONCE))


def remove_old_files(folder: int) -> None:
    """Remove cache files unused for 30 days and leftovers of killed processes.

    These may be as large as the disk, so they go soon after the process.
    """
    now = time.time()
    for name in os.listdir(folder):
        if not (WHOLE.fullmatch(name) or LEFT.fullmatch(name)):
            continue
        with suppress(OSError):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                continue
            idle = now - found.st_mtime
            if WHOLE.fullmatch(name):
                old = idle > KEPT_FOR
            else:
                old = idle > LEFT_FOR and (idle > LEFT_FOR_SURE or is_left(name, folder))
            if old:
                os.unlink(name, dir_fd=folder)


def is_left(name: str, folder: int) -> bool:
    """Whether no process holds an unfinished file any more. Raises OSError if that is unknown."""
    with open_regular(name, folder=folder, follow_link=False) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def folder_within(path: str) -> Path:
    """The cache's own folder in one that somebody named, which may hold other files."""
    return Path(path).expanduser() / NAME


def standard_folder() -> Path | None:
    """The folder `trainer` in $XDG_CACHE_HOME or ~/.cache; None if there is no home directory."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / NAME
    except RuntimeError:
        return None
