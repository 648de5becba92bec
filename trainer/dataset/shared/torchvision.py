"""What the data sets that torchvision reads have in common."""

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

# What torchvision raises for files that are absent, cut short or something else altogether, and for
# a connection or an archive that breaks off.
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


ABSENT = "give the folder as dataset.root, or dataset.download=true"
FETCH = ".fetch-"  # how the folders begin that are fetched into


@dataclass(kw_only=True)
class TorchvisionDataset(Dataset):
    """A data set under `root`, fetched into it when `download` is true and it is absent."""

    root: str = "data"
    download: bool = False

    def read(self, make: Callable[..., Any], **which: object) -> Any:
        """Call torchvision's class; a data set that is not there is one line, no folder left."""
        try:
            if self.download:
                return fetched(make, Path(self.root), **which)
            return make(self.root, download=False, **which)
        except DAMAGED as error:
            what = "could not be fetched" if self.download else "is not there or is damaged"
            todo = "check the network" if self.download else ABSENT
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            reason = reason.partition(" You can use download=")[0].rstrip(":.")
            raise DataError(
                f"{make.__name__} {what} under dataset.root={self.root}: {reason}; {todo}"
            ) from error


def fetched(make: Callable[..., Any], root: Path, **which: object) -> Any:
    """The data set under a root, fetched where it is not there, by one process at a time.

    It is fetched into a folder of its own and moved when it is whole. A failure leaves nothing,
    and of others' files it touches none.
    """
    there = partial(make, str(root), download=False, **which)
    with suppress(*DAMAGED):
        return there()
    absent = [path for path in (root, *root.parents) if not path.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with locked(root) as held:
            with suppress(*DAMAGED):  # another process may have fetched it meanwhile
                return there()
            for stale in root.glob(f"{FETCH}*") if held else ():
                shutil.rmtree(stale, ignore_errors=True)  # a killed process left it
            with TemporaryDirectory(prefix=FETCH, dir=root) as folder:
                make(folder, download=True, **which)
                for path in Path(folder).iterdir():
                    move(path, root / path.name)
            return there()
    finally:
        for path in absent:
            with suppress(OSError):  # it has something in it
                path.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold a folder; wait for another process that does.

    Gives whether it is held: some network disks know no locks.
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
    """Move a file or folder; what a folder holds goes into one that is there."""
    if path.is_dir() and target.is_dir():
        for child in path.iterdir():
            move(child, target / child.name)
    else:
        path.replace(target)


def split_of(images: np.ndarray | torch.Tensor, labels: object) -> Split:
    """A whole source as a split. images uint8 [N, H, W] or [N, C, H, W]."""
    pixels = torch.as_tensor(images).contiguous()
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels
    return Split(Pixels(pixels), torch.as_tensor(labels).long(), torch.arange(len(pixels)))
