"""Which shards a data set has: by patterns, below a folder, or by URL, which are fetched once."""

import errno
import hashlib
import os
import re
import shutil
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.error import HTTPError

from trainer.core.errors import ConfigError, DataError, disk_error
from trainer.core.text import count, enumerated
from trainer.dataset.shared.cache import (
    SUFFIX,
    Cache,
    NotPrivateError,
    appearing,
    open_private,
    remove_old_files,
)
from trainer.dataset.shared.class_folders import cannot_list, is_hidden
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.split_folders import SPLIT_OF

BRACES = re.compile(r"\{([^{}]*)\}")
COMPRESSED_TAR = re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|Z)|tgz|tbz2?|txz|tzst)$")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 1_000_000  # shards
FETCHED_AT_ONCE = 4
TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class Shard:
    """A shard: what it is called, and the file to read it from."""

    name: str
    path: str


def expanded(pattern: str) -> list[str]:
    """`a-{00..02}` as a-00, a-01, a-02; `{a,b}` as a, b. Raises ConfigError for too many."""
    fixed = BRACES.split(pattern)[::2]
    inner = BRACES.findall(pattern)
    ranges = [RANGE.fullmatch(each) for each in inner]
    number = 1
    for each, found in zip(inner, ranges, strict=True):
        number *= int(found[2]) - int(found[1]) + 1 if found else each.count(",") + 1
        if not 0 < number <= MOST:
            raise ConfigError(
                f"{printable(pattern)} names {number:,} shards; 1 to {MOST:,} are read"
            )
    parts: list[list[str]] = [fixed[:1]]
    for each, found, after in zip(inner, ranges, fixed[1:], strict=True):
        if found:
            numbers = range(int(found[1]), int(found[2]) + 1)
            choices = [str(n).zfill(len(found[1])) for n in numbers]
        else:
            choices = each.split(",")
        parts += [choices, [after]]
    return ["".join(each) for each in product(*parts)]


def is_url(name: str) -> bool:
    """Whether a shard is to be fetched. Raises ConfigError for what would run a command."""
    scheme = name.partition(":")[0] if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name) else ""
    if scheme.lower() in ("http", "https"):
        return True
    if scheme and (scheme.lower() == "pipe" or name.startswith(f"{scheme}://")):
        why = "would run a command" if scheme.lower() == "pipe" else "is not read"
        raise ConfigError(
            f"{printable(name)}: {scheme}: {why}; give https:// or http://, or fetch the shards "
            "and give their folder"
        )
    return False


def by_split(root: Path, *suffixes: str) -> dict[str, list[str]]:
    """The files below a folder by split: a word of the path, such as train-0000.tar, names it.

    Files without such a word are train. Raises DataError for none, or for words of two splits.
    """
    if not root.is_dir():
        raise DataError(f"dataset.root: no folder {printable(root)}; give the one with the files")
    found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for path in files_below(root, suffixes):
        words = re.split(r"[^a-z]+", str(path.relative_to(root)).lower())
        splits = {SPLIT_OF[word] for word in words if word in SPLIT_OF}
        if len(splits) > 1:
            raise DataError(
                f"{printable(path)} is named after {enumerated(sorted(splits))}; a path must have "
                "the word for one split: rename it, or move it"
            )
        found[next(iter(splits), "train")].append(str(path))
    if not found["train"]:
        raise DataError(
            f"dataset.root: {printable(root)} has no training files, such as train-0{suffixes[0]}"
        )
    return found


def files_below(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files with one of the suffixes, sorted; in linked folders too, and none that are hidden.

    Raises DataError for what would be left out unnoticed: a compressed tar file, a link to nothing,
    a pipe, a folder that cannot be listed.
    """

    def refuse(error: OSError) -> NoReturn:
        raise cannot_list(error.filename, error) from error

    found: list[Path] = []
    listed: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in listed else sorted(f for f in folders if not is_hidden(f))
        visible = [] if real in listed else [name for name in names if not is_hidden(name)]
        listed.add(real)
        found += [Path(folder, name) for name in visible if name.endswith(tuple(suffixes))]
        compressed = sorted(name for name in visible if COMPRESSED_TAR.search(name))
        if compressed and ".tar" in suffixes:
            raise DataError(
                f"{printable(Path(folder, compressed[0]))} is compressed, so its images cannot be "
                "read at their places; unpack it to a plain .tar, or move it away"
            )
    for path in found:
        if not path.is_file():
            what = "not a regular file" if path.exists() else "a link to nothing"
            raise DataError(f"{printable(path)} is {what}; mend it, or move it away")
    return sorted(found)


def named(patterns: list[str], root: Path, setting: str) -> list[str]:
    """The shards that patterns name: URLs, or files with * and ? below the root.

    Raises DataError where there is none of a name.
    """
    names: list[str] = []
    for name in (each for pattern in patterns for each in expanded(pattern)):
        if is_url(name):
            names.append(name)
            continue
        if re.search(r"[*?\[]", name):
            base = Path(name).anchor or root
            files = sorted(map(str, Path(base).glob(name.removeprefix(Path(name).anchor))))
        else:
            files = [str(root / name)] if os.path.exists(root / name) else []  # noqa: PTH110
        if not files:
            raise DataError(f"{setting}: there is no shard {printable(root / name)}")
        names += files
    if len(set(names)) < len(names):
        raise DataError(f"{setting} names a shard twice")
    return names


def fetched(names: list[str], cache: Cache, *, download: bool) -> list[Shard]:
    """The shards, those by URL fetched into the folder of the cache if they are not there yet.

    Raises ConfigError without a folder, DataError for what cannot be fetched, or may not without
    `download`, DiskError for a full disk. A transfer that is broken off leaves nothing behind.
    """
    urls = [name for name in names if is_url(name)]
    if not urls:
        return [Shard(name, name) for name in names]
    if cache.folder is None:
        raise ConfigError(
            "dataset.cache is the folder for the shards that are fetched, and there is none; set it"
        )
    place = {url: f"shard-{hashlib.sha256(url.encode()).hexdigest()[:24]}" for url in urls}
    try:
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_private(cache.folder) as folder, ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            remove_old_files(folder)
            missing = [url for url in urls if not marked_used(folder, place[url])]
            if missing and not download:
                raise DataError(
                    f"{count(len(missing), 'shard')}, such as {shown(missing[0])}, are not in "
                    f"{cache.folder}; dataset.download=true fetches them"
                )
            if missing:
                cache.warn(f"fetching {count(len(missing), 'shard')} into {cache.folder}")
            try:
                list(pool.map(lambda url: fetch(url, folder, place[url]), missing))
            finally:
                pool.shutdown(cancel_futures=True)
    except NotPrivateError as error:
        raise ConfigError(f"dataset.cache: {cache.folder} is not used: {error}") from error
    except OSError as error:
        raise disk_error(error, cache.folder) from error
    own = {url: str(cache.folder / (name + SUFFIX)) for url, name in place.items()}
    short = [shown(name) if name in own else name for name in names]
    called = short if len({*short}) == len(names) else names
    return [Shard(name, own.get(whole, whole)) for name, whole in zip(called, names, strict=True)]


def shown(url: str) -> str:
    """A URL as messages and tables have it: a query may hold a key, and may be another tomorrow."""
    return printable(url.partition("?")[0])


def marked_used(folder: int, name: str) -> bool:
    """Whether a shard is in the folder; if so, it counts as used now."""
    try:
        os.utime(name + SUFFIX, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def fetch(url: str, folder: int, name: str) -> None:
    """Fetch a URL into an open folder, whole or not at all. Raises DataError and OSError."""
    with appearing(folder, name) as file:
        transfer(url, file)


def transfer(url: str, file: BinaryIO) -> None:
    """Write what a URL has to a file, and to the disk. Raises DataError, or OSError of the disk."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  (is_url)
            length: int | None = answer.length
            shutil.copyfileobj(answer, file, 2**20)
    except (OSError, HTTPException, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        if isinstance(error, HTTPError):
            error.close()  # it is an answer, whose connection would stay open
        raise DataError(f"{shown(url)} cannot be fetched: {printable(error)}") from error
    file.flush()
    if length is not None and file.tell() != length:
        raise DataError(
            f"{shown(url)} broke off after {file.tell():,} of {length:,} bytes; try again"
        )
    os.fsync(file.fileno())
