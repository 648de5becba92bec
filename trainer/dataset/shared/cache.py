"""Cache of bytes that are faster to read than to recompute, such as decoded images.

A file holds a magic number, the key of its inputs, the bytes, and the SHA-256 of all three. It is
untrusted data: it is used only if all of them match, and nothing in it is executed. It appears by
one atomic rename, so when several processes write the same file the last one wins, whole.
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

MAGIC = b"trainer cache 1\n"  # change the number with the layout
SUFFIX, UNFINISHED = ".cache", ".unfinished"
HASHED_AT_ONCE = 2**20  # bytes: they stay in the processor's cache between two uses
UNUSED, STALE = 30 * 86400.0, 86400.0  # seconds until a file, whole or unfinished, is removed


class Files:
    """Source files and fingerprints that change when one of them does."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.root = os.path.commonpath([min(paths), max(paths)]) if paths else ""

    @property
    def fingerprint(self) -> bytes | None:
        """Hash of names below the root, sizes and times; None if a file is missing.

        A change that preserves size and modification time still shows in the inode's change time.
        """
        return self.hashes[0]

    @property
    def content(self) -> bytes:
        """The same without change times, which a copy does not keep; missing files are marked."""
        return self.hashes[1]

    @cached_property
    def hashes(self) -> tuple[bytes | None, bytes]:
        """`fingerprint` and `content`, from one `stat` of each file."""
        exact, content, missing = hashlib.sha256(), hashlib.sha256(), False
        for path in self.paths:
            name = os.fsencode(path[len(self.root) :])
            try:
                stat = os.stat(path)  # noqa: PTH116  (a Path for each file would be slow)
            except OSError:
                missing = True
                content.update(name + b"\0missing\0")
                continue
            times = f"\0{stat.st_size} {stat.st_mtime_ns}"
            exact.update(name + f"{times} {stat.st_ctime_ns}\0".encode())
            content.update(name + f"{times}\0".encode())
        return None if missing else exact.digest(), content.digest()


class Cache:
    """Cached arrays in one folder; with folder None nothing is cached.

    A file is named after the source folder and the settings of its contents. Files unused for 30
    days are removed. If the folder cannot be written, `warn` is called once.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.warn = warn

    def get_or_make(
        self, about: str, files: Files, shape: tuple[int, ...], make: Callable[[], Tensor]
    ) -> Tensor:
        """The result of `make`, uint8 of a shape, from the cache if an earlier run left it there.

        `about` names the result and every setting it depends on. A file that is changed, added or
        removed invalidates the result as a whole.
        """
        if self.folder is None or files.fingerprint is None:
            return make()
        key = hashlib.sha256(about.encode() + files.fingerprint).digest()
        location = hashlib.sha256(os.fsencode(os.path.realpath(files.root)) + about.encode())
        name = f"{about.split(maxsplit=1)[0]}-{location.hexdigest()[:24]}"
        values = self.read_file(name, key, shape)
        if values is None:
            values = make()
            self.write_file(name, key, values)
        return values

    def read_file(self, name: str, key: bytes, shape: tuple[int, ...]) -> Tensor | None:
        """The values uint8 cached under a name; None if absent, damaged or out of date."""
        if self.folder is None:
            return None
        path = self.folder / (name + SUFFIX)
        try:
            with path.open("rb") as file:
                head = file.read(len(MAGIC) + len(key))
                size = os.fstat(file.fileno()).st_size
                values = torch.empty(shape, dtype=torch.uint8)
                hashed = hashlib.sha256(head)
                if head != MAGIC + key or size != len(head) + values.nbytes + hashed.digest_size:
                    return None
                for part in pieces(values):
                    if file.readinto(part) != len(part):  # truncated by another process meanwhile
                        return None
                    hashed.update(part)
                if file.read() != hashed.digest():
                    return None
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # marks the file as used
        return values

    def write_file(self, name: str, key: bytes, values: Tensor) -> None:
        """Cache values uint8 under a name. If the folder cannot be written, warn and give up."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_old_files(self.folder)
            write_whole(self.folder / (name + SUFFIX), key, values)
        except OSError as error:
            self.warn(
                f"dataset.cache: cannot write {self.folder}: {error.strerror or error}; images are "
                "decoded again in every run; choose another folder, or set dataset.cache=null"
            )
            self.folder = None


NO_CACHE = Cache(None, lambda _: None)


def write_whole(path: Path, key: bytes, values: Tensor) -> None:
    """Write a cache file completely, or leave the path untouched."""
    hashed = hashlib.sha256(MAGIC + key)
    file = NamedTemporaryFile(dir=path.parent, suffix=UNFINISHED, delete=False)  # noqa: SIM115
    try:
        with file:
            file.write(MAGIC + key)
            for part in pieces(values):
                hashed.update(part)
                file.write(part)
            file.write(hashed.digest())
        Path(file.name).replace(path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise


def pieces(values: Tensor) -> Iterator[memoryview]:
    """The bytes of contiguous uint8 values [...], in chunks that share their memory."""
    data = memoryview(values.flatten().numpy().data)
    return (data[i : i + HASHED_AT_ONCE] for i in range(0, len(data), HASHED_AT_ONCE))


def remove_old_files(folder: Path) -> None:
    """Remove cache files unused for 30 days and leftovers of killed processes."""
    now = time.time()
    for suffix, age in ((SUFFIX, UNUSED), (UNFINISHED, STALE)):
        for path in folder.glob("*" + suffix):
            with suppress(OSError):
                if now - path.stat().st_mtime > age:
                    path.unlink()


def standard_folder() -> Path | None:
    """`trainer` in $XDG_CACHE_HOME or ~/.cache; None if there is no home directory."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "trainer"
    except RuntimeError:
        return None
