"""What the data sets that torchvision reads have in common."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.dataset.base import Dataset, Pixels, Split
from trainer.errors import DataError

# What torchvision raises for files that are absent, cut short or something else altogether.
DAMAGED = (RuntimeError, OSError, EOFError, ValueError, LookupError, AssertionError)


@dataclass(kw_only=True)
class TorchvisionDataset(Dataset):
    """A data set under `root`, fetched into it when `download` is true and it is absent."""

    root: str = "data"
    download: bool = False

    def read(self, make: Callable[..., Any], **which: object) -> Any:
        """Call torchvision's class; a data set that is not there is one line, no folder left."""
        root = Path(self.root)
        before = set(root.iterdir()) if root.is_dir() else set()
        absent = [path for path in (root, *root.parents) if not path.exists()]
        try:
            return make(str(root), download=self.download, **which)
        except DAMAGED as error:
            if self.download:
                sweep(root, before, absent)
            what = "could not be fetched" if self.download else "is not there or is damaged"
            todo = "check the network" if self.download else "give dataset.root or download=true"
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
            raise DataError(
                f"{make.__name__} {what} under dataset.root={self.root}: {reason}; {todo}"
            ) from error


def sweep(root: Path, before: set[Path], absent: list[Path]) -> None:
    """Remove what a failed download left: all that was not there before, absent folders too."""
    for path in set(root.iterdir()) - before if root.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in absent:
        if path.is_dir():
            path.rmdir()


def split_of(images: np.ndarray | torch.Tensor, labels: object) -> Split:
    """A whole source as a split. images uint8 [N, H, W] or [N, C, H, W]."""
    pixels = torch.as_tensor(images)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels
    return Split(Pixels(pixels), torch.as_tensor(labels).long(), torch.arange(len(pixels)))
