"""Image files inside larger files, such as tar shards: read at their place, never unpacked."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from io import BytesIO
from typing import Any, BinaryIO, Self

import numpy as np
import torch
from torch import Tensor

from trainer.dataset.shared.cache import NO_CACHE, Cache, Files
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.uncut_files import UncutFiles


class PackedFile:
    """One image of a packing, for `open_image`."""

    def __init__(self, packing: "Packing", i: int) -> None:
        self.packing = packing
        self.i = i

    def open(self) -> BinaryIO:
        """The encoded image, in memory. Raises OSError or ValueError."""
        return BytesIO(self.packing.read(self.i))

    def __str__(self) -> str:
        return str(self.packing.names[self.i])


class Packing(Sequence[PackedFile]):
    """M encoded images in `files`; `names` [M] says what messages and tables call each."""

    def __init__(self, names: np.ndarray, files: list[str]) -> None:
        self.names = names
        self.files = files

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[PackedFile]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, i: int) -> PackedFile:  # pyright: ignore
        return PackedFile(self, i)

    @abstractmethod
    def read(self, i: int) -> bytes:
        """The encoded image i. Raises OSError or ValueError."""

    @abstractmethod
    def places(self) -> bytes:
        """What says which part of which file each image is, for fingerprints."""

    def keys(self) -> list[str] | None:
        """What the data set itself calls each image, wherever it lies; None if it has no names."""

    def select(self, rows: np.ndarray) -> "Packing":
        """The images of some rows: a bool array [M], or their numbers."""
        packing = copy(self)
        packing.names = self.names[rows]
        return packing

    @abstractmethod
    def joined(self, other: "Packing") -> "Packing":
        """These images, and the `other` ones, of the same class, behind them."""


class PackedSource(Files):
    """The files of a packing, with fingerprints that tell apart which of their images are used."""

    def __init__(self, packing: Packing) -> None:
        super().__init__(packing.files, share_folder=True)
        self.packing = packing

    @cached_property
    def hashes(self) -> tuple[bytes | None, bytes, bytes]:
        """`fingerprint`, `names` and `times`; see Files."""
        exact, names, times = super().hashes
        own = hashlib.sha256(self.packing.places()).digest()
        return exact and hashlib.sha256(exact + own).digest(), names + own, times


class PackedImages(ImageFiles):
    """Images of a packing, decoded each time they are read. `paths` are their names."""

    def __init__(
        self,
        packing: Packing,
        size: tuple[int, int],
        channels: int,
        cache: Cache = NO_CACHE,
        **settings: Any,
    ) -> None:
        """The `settings` are those of ImageFiles."""
        super().__init__(packing.names.tolist(), size, channels, cache, **settings)
        self.packing = packing

    def source(self, i: int) -> PackedFile:
        """What `open_image` opens for image i."""
        return self.packing[i]

    @cached_property
    def files(self) -> Files:
        """The files with their fingerprint."""
        return PackedSource(self.packing)

    @property
    def keys(self) -> Tensor | None:
        """The keys of the images in UTF-8, filled up with 0: uint8 [M, L]; None without.

        Bytes of names that are not UTF-8 are kept as they are.
        """
        keys = self.packing.keys()
        if keys is None:
            return None
        encoded = np.array([key.encode("utf-8", "surrogateescape") for key in keys], "S")
        return torch.from_numpy(encoded.view(np.uint8).reshape(len(keys), -1).copy())

    def select(self, rows: np.ndarray) -> Self:
        """The images of some rows, a bool array [M]."""
        images = super().select(rows)
        images.packing = self.packing.select(rows)
        return images

    def joined(self, other: ImageFiles) -> Self:
        """These images, and the `other` ones behind them."""
        images = super().joined(other)
        assert isinstance(other, PackedImages)  # noqa: S101  (of the same class)
        images.packing = self.packing.joined(other.packing)
        return images


class UncutPacked(UncutFiles, PackedImages):
    """Images of a packing that keep their aspect ratio."""
