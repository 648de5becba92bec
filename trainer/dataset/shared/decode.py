"""Decoding of image files, and conversion to one mode and size.

The files are untrusted: only the formats of the known suffixes are tried, at most MAX_PIXELS pixels
are decoded, and whatever Pillow raises becomes a DataError that names the file.
"""

import ctypes
import errno
import logging
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageColor,
    ImageFile,
    TiffImagePlugin,  # noqa: F401  (registers its format, as the next does)
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
    _imaging,
)

from trainer.core.errors import DataError, TrainerError
from trainer.dataset.shared.letterbox import BLACK, MAX_PIXELS, Colour, Fit, letterbox, placement
from trainer.dataset.shared.regular_file import PIECE, open_regular

SUFFIXES = {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jfif": "JPEG",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".pgm": "PPM",
    ".png": "PNG",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
LARGEST = 2**30  # bytes of a file, which some formats read whole: 16-bit RGBA of MAX_PIXELS
ADVICE = "; dataset.corrupt=skip, where a data set has it, leaves out such files"
STRIP = 2**22  # pixels whose mode is converted at once
EXIF = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # where Pillow keeps it
TURNS = {  # how to turn an image upright, by the orientation in its EXIF record
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
OF_THE_MACHINE = {  # errors that say nothing of the file, which may be intact
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBUSY),
    *(errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN),
}

# Pillow warns of details that it ignores, such as a damaged comment, with a line of its source, and
# logs some errors that it raises, too.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

with suppress(AttributeError, OSError):  # a Pillow without libtiff
    libtiff = ctypes.CDLL(_imaging.__file__)  # finds the functions of the libraries that it loads
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        getattr(libtiff, name)(None)  # which write to stderr; Pillow raises the error, too


class Inside(Protocol):
    """An image file inside a larger file; `str` is what messages call it."""

    def open(self) -> BinaryIO:
        """Open it for reading. Raises OSError or ValueError."""
        ...


ImageSource: TypeAlias = str | Path | Inside


class UnreadableError(DataError):
    """An image file is damaged, too large, of an unknown format, or no file at all."""


@contextmanager
def open_image(path: ImageSource) -> Iterator[ImageFile.ImageFile]:
    """Open an image, not decoded yet; what the block raises is about the file, too.

    Raises UnreadableError, or another DataError where the machine is at fault: memory or open
    files run out, or the disk fails. Both name the file.
    """
    try:
        with open_source(path) as file:
            check_bytes(file)
            with Image.open(file, formats=FORMATS) as image:
                check_size(image)
                yield image
    except TrainerError:
        raise
    except Exception as error:
        raise fault(path, fault_of_disk(path, error) or error) from error


def fault_of_disk(path: ImageSource, error: Exception) -> OSError | None:
    """The disk's own error where a format's library hides it, as libtiff does; None without one."""
    if isinstance(error, OSError) and error.errno is None:
        try:
            with open_source(path) as file:
                check_bytes(file)
                while file.read(PIECE):
                    pass
        except OSError as found:
            return found
        except ValueError:
            return None
    return None


def open_source(path: ImageSource) -> BinaryIO:
    """Open a regular file, or a file inside another. Raises OSError or ValueError."""
    return open_regular(path) if isinstance(path, str | Path) else path.open()


def check_bytes(file: BinaryIO) -> None:
    """Raise ValueError for a file that is larger than any image of MAX_PIXELS."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes; files of {LARGEST:,} are read at most")


def check_size(image: Image.Image) -> None:
    """Raise ValueError for an image without pixels or with too many."""
    if not 0 < image.width * image.height <= MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        raise ValueError(f"it has {size} pixels; {MAX_PIXELS:,} are read at most")


def fault(path: ImageSource, error: Exception) -> DataError:
    """The error for a file that cannot be read: its name once, the reason in one line."""
    text = f"cannot read the image {printable(path)}: {reason(error)}"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in OF_THE_MACHINE:
        return DataError(text)
    return UnreadableError(text + ADVICE)


def reason(error: Exception) -> str:
    """Why, in one line of printable characters."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is damaged, or none of {' '.join(FORMATS)}"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has too many pixels (a decompression bomb?); {MAX_PIXELS:,} are read at most"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    text = printable(" ".join(str(error).split()))
    expected = isinstance(error, (OSError, ValueError, SyntaxError)) and text
    return text if expected else f"{type(error).__name__}: {text}".rstrip(": ")


def printable(text: object) -> str:
    """Escape what cannot be shown: control characters, and bytes of names that are not UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def pixels_of(
    image: Image.Image,
    shape: tuple[int, int, int],
    background: Colour = BLACK,
    *,
    turn: bool = True,
    way: Fit = "cover",
) -> np.ndarray:
    """The pixels of an open image as uint8 [C, H, W] of `shape`.

    It is turned upright by its EXIF record, unless `turn` is off; transparent pixels lie on the
    background, and so does an image that is smaller by its `way` to the shape.
    """
    channels, height, width = shape
    image.load()
    image = convert(upright(image) if turn else image, channels, background)
    if way == "pad":
        pixels = np.asarray(letterbox(image, height, width, background))
    else:
        pixels = np.asarray(fit(image, height, width))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def decode(
    path: ImageSource,
    shape: tuple[int, int, int],
    background: Colour = BLACK,
    *,
    turn: bool = True,
    way: Fit = "cover",
    pixels: Callable[..., np.ndarray] = pixels_of,
) -> np.ndarray:
    """The image as uint8 [C, H, W] of `shape`, by the function `pixels`.

    Raises DataError naming the file.
    """
    with open_image(path) as image:
        return pixels(image, shape, background, turn=turn, way=way)


def upright(image: Image.Image) -> Image.Image:
    """Turn a loaded image upright by its EXIF record. A damaged record counts as none."""
    turned = turn_of(image)
    return image if turned is None else image.transpose(turned)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How to turn an image upright by its EXIF record; None where it is, or has no record."""
    if image.format != "TIFF" and EXIF.isdisjoint(image.info):
        return None  # getexif() would take 0.1 ms to find that out
    orientation = None
    with suppress(SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def colour(value: str | Sequence[int] | None) -> Colour:
    """The RGB of a colour by its name or as [r, g, b]; black for None. Raises ValueError."""
    if value is None:
        return BLACK
    found: Sequence[int] = ()
    if isinstance(value, str):
        with suppress(ValueError):
            found = ImageColor.getrgb(value)
    elif isinstance(value, Sequence):
        found = value
    if len(found) != 3 or any(type(c) is not int or not 0 <= c <= 255 for c in found):
        raise ValueError(
            "dataset.background must be the name of a colour, such as white, or [r, g, b] from "
            f"0 to 255, got {value}"
        )
    return found[0], found[1], found[2]


def convert(image: Image.Image, channels: int, background: Colour = BLACK) -> Image.Image:
    """Convert any mode to grey (1 channel) or RGB (3), a strip at a time to limit memory."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and "transparency" not in image.info:
        return image  # convert() would copy it
    if image.width * image.height <= STRIP:
        return convert_strip(image, mode, background)
    whole, rows = Image.new(mode, image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(convert_strip(strip, mode, background), (0, top))
    return whole


def convert_strip(image: Image.Image, mode: str, background: Colour) -> Image.Image:
    """Convert any mode to L or RGB, by one rule for each mode, the same for all images.

    I and I;16 hold 0 to 65535 and F holds 0 to 1; both are scaled to 0 to 255, and ValueError is
    raised for what lies outside. Transparent pixels lie on the background. The others are Pillow's.
    """
    if image.mode.startswith("I"):
        image = eight_bits(image, 65535, tolerance=0)
    elif image.mode == "F":
        image = eight_bits(image, 1, tolerance=1 / 510)  # of rounding: half a grey level
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (*background, 255)), rgba)
    return image if image.mode == mode else image.convert(mode)


def eight_bits(image: Image.Image, top: int, tolerance: float) -> Image.Image:
    """Scale pixels from 0 to `top` to 0 to 255. Raises ValueError for others, and for NaN."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    if not (low >= -tolerance and high <= top + tolerance):
        raise ValueError(
            f"pixels of mode {image.mode} must be from 0 to {top}, got {low:g} to {high:g}"
        )
    return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))


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
    at = placement((image.height, image.width), (height, width), "cover")
    image = image.resize((at.width, at.height), resample, reducing_gap=3.0)
    return image.crop((-at.left, -at.top, width - at.left, height - at.top))
