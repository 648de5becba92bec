"""Image files: opened, decoded, brought to one mode and size."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, ImageFile
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.base import Images
from trainer.dataset.shared.cache import NO_CACHE, Cache, Files
from trainer.dataset.shared.parallel import available_cores, in_chunks

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


MAX_SKIPPED = 0.01  # of the files of a source, under corrupt=skip


LARGEST = 2**27  # pixels of an image that is scaled to cover the size


UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


CHECKED_AT_ONCE = 256  # files, by a process


DECODER = 1  # another number where decode() gives other pixels: what a run before kept is then old


class ImageFiles(Images):
    """Images that are decoded when they are read."""

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
        self.skipped: list[str] = []  # files that were left out

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as uint8 [len(ids), C, H, W]."""
        out = np.empty((len(ids), *self.shape), np.uint8)
        for row, i in enumerate(ids):
            out[row] = decode(str(self.paths[i]), self.shape)
        return torch.from_numpy(out)

    def recall(self, what: str, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
        """What a run before has made of the files, uint8; else it is made, and kept. See Cache."""
        about = f"{what} {self.shape} {DECODER} Pillow {PIL.__version__}"
        return self.cache.recall(about, self.files, shape, make)

    @cached_property
    def files(self) -> Files:
        """What tells whether a file has changed."""
        return Files(self.paths.tolist())

    def only(self, sound: np.ndarray) -> "ImageFiles":
        """The source of the files that are sound [M]; the others are listed as `skipped`."""
        channels, height, width = self.shape
        images = ImageFiles(self.paths[sound].tolist(), (height, width), channels, self.cache)
        images.skipped = self.paths[~sound].tolist()
        return images

    def sound(self) -> np.ndarray:
        """Which files decode, [M]. Raises DataError when over 1 % do not."""
        sound = self.recall("sound", (len(self),), self.check).numpy().astype(bool)
        bad = self.paths[~sound]
        if len(bad) > MAX_SKIPPED * len(self):
            raise DataError(f"{len(bad)} of {len(self)} images cannot be read, such as {bad[0]}")
        return sound

    def check(self) -> Tensor:
        """Which files decode, uint8 [M]: 1, or 0."""
        sound = torch.empty(len(self), dtype=torch.uint8)

        def decode_each(ids: range) -> list[bool]:
            return [self.decodes(i) for i in ids]

        for ids, found in in_chunks(decode_each, len(self), CHECKED_AT_ONCE, available_cores()):
            sound[ids.start : ids.stop] = torch.tensor(found)
        return sound

    def decodes(self, i: int) -> bool:
        """Whether file i is an image."""
        try:
            decode(str(self.paths[i]), self.shape)
        except DataError:
            return False
        return True


def open_image(path: str | Path) -> ImageFile.ImageFile:
    """Open a file as an image. Raises DataError that names it."""
    try:
        return Image.open(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: Exception) -> DataError:
    """What is said of a damaged file."""
    return DataError(
        f"cannot read the image {path}: {error}; "
        "with dataset=image_folder, dataset.corrupt=skip leaves such files out"
    )


def decode(path: str | Path, shape: tuple[int, int, int]) -> np.ndarray:
    """The image as uint8 [C, H, W]. Raises DataError that names the file."""
    channels, height, width = shape
    with open_image(path) as image:
        try:
            pixels = np.asarray(fit(to_mode(image, channels), height, width))
        except UNREADABLE as error:
            raise unreadable(path, error) from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def to_mode(image: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB, from any mode: 16 bit is scaled, transparency lies on black."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        top = 65535 if image.mode != "F" else 255 if values.max(initial=0) > 1 else 1
        image = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def fit(
    image: Image.Image,
    height: int,
    width: int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Scale so that the image covers height x width, then cut in the middle."""
    if (image.height, image.width) == (height, width):
        return image
    scale = max(height / image.height, width / image.width)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    if size[0] * size[1] > LARGEST:
        raise ValueError(f"of {image.width}x{image.height} it is too long for {width}x{height}")
    image = image.resize(size, resample, reducing_gap=3.0)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))
