"""Image files: listing, opening, decoding, conversion to one mode and size."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, ImageFile
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.shared.cache import NO_CACHE, Cache, Files
from trainer.dataset.shared.parallel import available_cores, in_chunks
from trainer.dataset.shared.split import Images

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # Pillow's
LARGEST = 2**27  # pixels of an image after scaling
CHECKED_AT_ONCE = 256  # files per task of a worker process
MAX_SKIPPED = 0.01  # share of unreadable files tolerated by dataset.corrupt=skip
DECODER = 1  # raise it when decode() returns other pixels: it invalidates the cache


class ImageFiles(Images):
    """Images decoded each time they are read."""

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: tuple[int, int],
        channels: int,
        cache: Cache = NO_CACHE,
    ) -> None:
        self.paths = np.array([str(path) for path in paths])  # one block: workers share its pages
        self.shape = (channels, *size)
        self.cache = cache
        self.skipped: list[str] = []  # unreadable files that were left out

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W]. Raises DataError naming a damaged file."""
        out = np.empty((len(ids), *self.shape), np.uint8)
        for row, i in enumerate(ids):
            out[row] = decode(str(self.paths[i]), self.shape)
        return torch.from_numpy(out)

    def get_or_make(self, what: str, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
        """`make()`, uint8 of a shape, or its result cached by an earlier run on the same files."""
        about = f"{what} {self.shape} {DECODER} Pillow {PIL.__version__}"
        return self.cache.get_or_make(about, self.files, shape, make)

    @cached_property
    def files(self) -> Files:
        """The files with their fingerprint."""
        return Files(self.paths.tolist())

    def select(self, readable: np.ndarray) -> "ImageFiles":
        """The images of the `readable` files, a bool array [M]; `skipped` lists the others."""
        channels, height, width = self.shape
        images = ImageFiles(self.paths[readable].tolist(), (height, width), channels, self.cache)
        images.skipped = self.paths[~readable].tolist()
        return images

    def readable(self) -> np.ndarray:
        """Which files decode, bool [M]. Raises DataError if over 1 % do not."""
        readable = self.get_or_make("sound", (len(self),), self.decode_all).numpy().astype(bool)
        bad = self.paths[~readable]
        if len(bad) > MAX_SKIPPED * len(self):
            raise DataError(
                f"{len(bad)} of {len(self)} images cannot be read, such as {bad[0]}; "
                f"dataset.corrupt=skip leaves out at most {MAX_SKIPPED:.0%}"
            )
        return readable

    def decode_all(self) -> Tensor:
        """Try every file: uint8 [M], 1 where it decodes, else 0."""
        readable = torch.empty(len(self), dtype=torch.uint8)

        def decode_each(ids: range) -> list[bool]:
            return [self.decodes(i) for i in ids]

        for ids, decoded in in_chunks(decode_each, len(self), CHECKED_AT_ONCE, available_cores()):
            readable[ids.start : ids.stop] = torch.tensor(decoded)
        return readable

    def decodes(self, i: int) -> bool:
        """Whether file i can be decoded."""
        try:
            decode(str(self.paths[i]), self.shape)
        except DataError:
            return False
        return True


def list_images(folder: Path) -> list[Path]:
    """The image files below a folder, sorted; none if it does not exist.

    Raises DataError for a folder without images.
    """
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        known = " ".join(sorted(SUFFIXES))
        raise DataError(f"class folder {folder} has no images ({known}); remove it or fill it")
    return files


def open_image(path: str | Path) -> ImageFile.ImageFile:
    """Open an image file without decoding it. Raises DataError naming the file."""
    try:
        return Image.open(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: Exception) -> DataError:
    """The DataError for an image file that cannot be read, and what to do about it."""
    return DataError(
        f"cannot read the image {path}: {error}; "
        "with dataset=image_folder, dataset.corrupt=skip leaves out such files"
    )


def decode(path: str | Path, shape: tuple[int, int, int]) -> np.ndarray:
    """The image as uint8 [C, H, W] of `shape`. Raises DataError naming the file."""
    channels, height, width = shape
    with open_image(path) as image:
        try:
            pixels = np.asarray(fit(convert(image, channels), height, width))
        except UNREADABLE as error:
            raise unreadable(path, error) from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def convert(image: Image.Image, channels: int) -> Image.Image:
    """Convert any mode to grey (1 channel) or RGB (3).

    16-bit and float pixels are scaled to 8 bits; transparency is composited on black.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        top = 65535 if image.mode != "F" else 255 if values.max(initial=0) > 1 else 1
        image = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # convert() always copies


def fit(
    image: Image.Image,
    height: int,
    width: int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Scale the image to cover height x width, then crop the centre.

    Raises ValueError if an extreme aspect ratio would make the scaled image too large.
    """
    if (image.height, image.width) == (height, width):
        return image
    scale = max(height / image.height, width / image.width)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    if size[0] * size[1] > LARGEST:
        raise ValueError(
            f"{image.width}x{image.height} pixels are too elongated to cover {width}x{height}"
        )
    image = image.resize(size, resample, reducing_gap=3.0)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))
