"""Base of the data sets that torchvision reads, and their download."""

import fcntl
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from trainer.core.errors import DataError
from trainer.dataset.base import Dataset, Pixels, Split

# Raised by torchvision for files that are missing, truncated or of another format, and for a
# connection or an archive that breaks off.
DAMAGED = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AssertionError,
    HTTPException,
    tarfile.TarError,
)

MISSING = "set dataset.root to its folder, or dataset.download=true"
DOWNLOAD = ".fetch-"  # prefix of the temporary folders of downloads


@dataclass(kw_only=True)
class TorchvisionDataset(Dataset):
    """A data set under `root`, downloaded there if it is missing and `download` is true."""

    root: str = "data"
    download: bool = False

    def open_source(self, make: Callable[..., Any], **options: object) -> Any:
        """Open a data set with torchvision's class `make`, downloading it if `download` is true.

        Raises DataError, and leaves no new folder behind, if the data is missing or damaged.
        """
        try:
            if self.download:
                return download(make, Path(self.root), **options)
            return make(self.root, download=False, **options)
        except DAMAGED as error:
            fault = "could not be downloaded" if self.download else "is missing or damaged"
            advice = "check the network" if self.download else MISSING
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            reason = reason.partition(" You can use download=")[0].rstrip(":.")
            raise DataError(
                f"{make.__name__} {fault} under dataset.root={self.root}: {reason}; {advice}"
            ) from error


def download(make: Callable[..., Any], root: Path, **options: object) -> Any:
    """The data set under a root, downloaded if it is missing, by one process at a time.

    The download goes to a temporary folder and is moved when complete. A failure leaves nothing
    behind; files that were already there are not touched.
    """
    existing = partial(make, str(root), download=False, **options)
    with suppress(*DAMAGED):
        return existing()
    created = [path for path in (root, *root.parents) if not path.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with lock_folder(root) as locked:
            with suppress(*DAMAGED):  # another process may have downloaded it meanwhile
                return existing()
            for stale in root.glob(f"{DOWNLOAD}*") if locked else ():
                shutil.rmtree(stale, ignore_errors=True)  # left by a killed process
            with TemporaryDirectory(prefix=DOWNLOAD, dir=root) as folder:
                make(folder, download=True, **options)
                for path in Path(folder).iterdir():
                    move(path, root / path.name)
            return existing()
    finally:
        for path in created:
            with suppress(OSError):  # not empty
                path.rmdir()


@contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Lock a folder, waiting for another process that holds the lock.

    Yields whether it is locked: some network file systems have no locks.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def move(path: Path, target: Path) -> None:
    """Move a file or folder, merging folders that exist on both sides."""
    if path.is_dir() and target.is_dir():
        for child in path.iterdir():
            move(child, target / child.name)
    else:
        path.replace(target)


def split_of(images: np.ndarray | torch.Tensor, labels: object) -> Split:
    """A split of a whole source: images uint8 [N, H, W] or [N, C, H, W], labels [N]."""
    pixels = torch.as_tensor(images).contiguous()
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels
    return Split(Pixels(pixels), torch.as_tensor(labels).long(), torch.arange(len(pixels)))
