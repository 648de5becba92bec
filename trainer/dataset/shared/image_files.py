"""Images in files, decoded when they are read."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import PIL
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.text import count
from trainer.dataset.shared.cache import NO_CACHE, Cache, Files
from trainer.dataset.shared.decode import (
    ImageSource,
    UnreadableError,
    decode,
    open_image,
    pixels_of,
    printable,
)
from trainer.dataset.shared.disk_images import Chunks, DiskImages, keep_or_make
from trainer.dataset.shared.fast_decode import decoder, fast_pixels_of
from trainer.dataset.shared.letterbox import BLACK, Colour, Fit
from trainer.dataset.shared.parallel import available_cores, in_chunks
from trainer.dataset.shared.split import Images

CHECKED_AT_ONCE = 256  # files per task of a worker process
MAX_SKIPPED = 0.01  # share of unreadable files tolerated by dataset.corrupt=skip
DECODER = 3  # raise it when decode() returns other pixels: it invalidates the cache


class ImageFiles(Images):
    """Images decoded each time they are read."""

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: tuple[int, int],
        channels: int,
        cache: Cache = NO_CACHE,
        *,
        background: Colour = BLACK,
        turn: bool = True,
        way: Fit = "cover",
        fast: bool = False,
    ) -> None:
        """With `turn`, images are turned upright by their EXIF record; `way` leads to the size.

        With `fast`, JPEG files are decoded as trainer.dataset.shared.fast_decode does.
        """
        self.paths = np.array(list(map(str, paths)))  # one block: workers share its pages
        self.shape = (channels, *size)
        self.cache = cache
        self.background = background
        self.turn = turn
        self.way: Fit = way
        self.fast = fast
        self.how = f"{self.background} {self.turn} {DECODER} Pillow {PIL.__version__}"
        self.how += "" if way == "cover" else f" {way}"
        self.how += f" {decoder()}" if fast else ""
        self.skipped: list[str] = []  # unreadable files that were left out

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W]. Raises DataError naming a damaged file."""
        out = np.empty((len(ids), *self.shape), np.uint8)
        for row, i in enumerate(ids):
            out[row] = self.decode(i)
        return torch.from_numpy(out)

    def decode(self, i: int) -> np.ndarray:
        """Image i as uint8 [C, H, W]. Raises DataError naming a damaged file."""
        source, (channels, height, width) = self.source(i), self.shape
        shape = channels, height, width
        pixels = fast_pixels_of if self.fast else pixels_of
        return decode(source, shape, self.background, turn=self.turn, way=self.way, pixels=pixels)

    def source(self, i: int) -> ImageSource:
        """What `open_image` opens for image i."""
        return str(self.paths[i])

    def get_or_make(self, what: str, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
        """`make()`, uint8 of a shape, or its result cached by an earlier run on the same files."""
        about = f"{what} {self.shape} {self.how}"
        return self.cache.get_or_make(about, self.files, shape, make)

    def keep_or_make(self, make: Callable[[], Chunks]) -> DiskImages:
        """All images, uint8 [M, C, H, W], in a file of the cache, filled by `make()` once.

        Raises ConfigError without a cache folder, DataError from `make`, DiskError for a full disk.
        """
        about = f"disk {self.shape} {self.how}"
        return keep_or_make(self.cache, about, self.files, (len(self), *self.shape), make)

    @cached_property
    def files(self) -> Files:
        """The files with their fingerprint."""
        return Files(self.paths.tolist())

    def select(self, rows: np.ndarray) -> Self:
        """The images of some rows, a bool array [M]."""
        return self.of(self.paths[rows])

    def joined(self, other: "ImageFiles") -> Self:
        """These images, and the `other` ones behind them, decoded as these are."""
        images = self.of(np.concatenate([self.paths, other.paths]))
        images.skipped = self.skipped + other.skipped
        return images

    def of(self, paths: np.ndarray) -> Self:
        """The images of other paths [M], read in the same way."""
        images = copy(self)
        for name in ("files", "stored_sizes"):  # cached
            vars(images).pop(name, None)
        images.paths = paths
        return images

    def without_skipped(self, readable: np.ndarray) -> Self:
        """The images of the `readable` files, a bool array [M]; `skipped` lists the others."""
        images = self.select(readable)
        images.skipped = self.paths[~readable].tolist()
        return images

    def sizes(self) -> np.ndarray:
        """Height and width of the files, int32 [M, 2], as they are stored. Raises DataError."""
        found = self.get_or_make("sizes", (len(self), 8), self.read_sizes)
        return found.numpy().view(np.int32)

    def read_sizes(self) -> Tensor:
        """The sizes by the headers as bytes, uint8 [M, 8]."""
        sizes = np.empty((len(self), 2), np.int32)

        def read(ids: range) -> list[tuple[int, int]]:
            return [size_of(self.source(i)) for i in ids]

        for ids, found in in_chunks(read, len(self), CHECKED_AT_ONCE, available_cores()):
            sizes[ids.start : ids.stop] = found
        return torch.from_numpy(sizes.view(np.uint8).reshape(len(self), 8))

    def readable(self) -> np.ndarray:
        """Which files decode, bool [M]. Raises DataError if over 1 % do not."""
        readable = self.get_or_make("sound", (len(self),), self.decode_all).numpy().astype(bool)
        bad = self.paths[~readable]
        if len(bad) > MAX_SKIPPED * len(self):
            raise DataError(
                f"{len(bad)} of {count(len(self), 'image')} cannot be read, such as "
                f"{printable(bad[0])}; dataset.corrupt=skip leaves out at most {MAX_SKIPPED:.0%}"
            )
        return readable

    def decode_all(self) -> Tensor:
        """Try every file: uint8 [M], 1 where it decodes, else 0."""
        readable = torch.empty(len(self), dtype=torch.uint8)

        def decode_each(ids: range) -> list[bool]:
            return [self.decodes(i) for i in ids]

        for ids, found in in_chunks(decode_each, len(self), CHECKED_AT_ONCE, available_cores()):
            readable[ids.start : ids.stop] = torch.tensor(found)
        return readable

    def decodes(self, i: int) -> bool:
        """Whether file i can be decoded. Raises DataError where memory or open files run out."""
        try:
            self.decode(i)
        except UnreadableError:
            return False
        return True


def size_of(path: ImageSource) -> tuple[int, int]:
    """Height and width of a file by its header. Raises DataError."""
    with open_image(path) as image:
        return image.height, image.width
