"""Faster decoding of JPEG files, or parts of them, whose pixels differ a little from `decode`'s.

A photograph much larger than wanted is decoded at 1/2, 1/4 or 1/8 of its size by the inverse cosine
transform itself, which then leaves most of its work out. Any other is decoded by torchvision, which
finds Pillow's very pixels, and resized by torch's kernel for uint8, which rounds otherwise: by one
level of 255 at most. Of neither is more decoded than down to the last row wanted. What torchvision
refuses, and what is not a plain JPEG, is left to Pillow, so that a file is read, or refused, as
`decode` does.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from io import BytesIO
from math import ceil
from typing import TypeGuard

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch.utils.data import get_worker_info

from trainer.dataset.shared.decode import pixels_of, turn_of
from trainer.dataset.shared.letterbox import BLACK, Colour, Fit, Placement, placement
from trainer.dataset.shared.windows import scaled

MARGIN = 1.5  # a reduced image is larger than wanted by this factor at least: below, details differ
FACTORS = (8, 4, 2)  # by which an image is reduced
BELOW = 4  # rows decoded below those wanted: the colours of a row take two of them at most
BASELINE = b"\xff\xc0", b"\xff\xc1"  # markers: of a header with the height
SCAN, END = b"\xff\xda", b"\xff\xd9"  # of the pixels, and of the end
MODES = {"L": 1, "RGB": 3}  # and torchvision's numbers for them
STDERR = 2
TURNED: dict[Image.Transpose, Callable[[np.ndarray], np.ndarray]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda pixels: pixels[:, ::-1],
    Image.Transpose.FLIP_TOP_BOTTOM: lambda pixels: pixels[::-1],
    Image.Transpose.ROTATE_90: np.rot90,
    Image.Transpose.ROTATE_180: lambda pixels: pixels[::-1, ::-1],
    Image.Transpose.ROTATE_270: partial(np.rot90, k=-1),
    Image.Transpose.TRANSPOSE: lambda pixels: pixels.swapaxes(0, 1),
    Image.Transpose.TRANSVERSE: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
}
ACROSS = {  # those that exchange height and width
    *(Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
    *(Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE),
}
FROM_RIGHT = {  # those after which what was counted from the left is counted from the right
    *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180),
    *(Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE),
}
FROM_BOTTOM = {  # and from the bottom
    *(Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180),
    *(Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE),
}

Box = tuple[int, int, int, int]  # top, left, height, width


@cache
def decoder() -> str:
    """Which code decodes, for the key of a cache. Imports torchvision, best before a fork."""
    import torchvision

    processor = torch.backends.cpu.get_cpu_capability()  # the kernels round differently
    return f"fast torchvision {torchvision.__version__} torch {torch.__version__} {processor}"


def fast_pixels_of(
    image: Image.Image,
    shape: tuple[int, int, int],
    background: Colour = BLACK,
    *,
    turn: bool = True,
    way: Fit = "cover",
) -> np.ndarray:
    """The pixels of an open image, as `pixels_of` has them: uint8 [C, H, W].

    A JPEG is resized before it is turned, which leaves less to turn.
    """
    turned = turn_of(image) if turn and is_plain(image) else None
    size = upright_size(image, turned)
    at = placement(size, (shape[1], shape[2]), way)
    pixels = fast_part(image, (0, 0, *size), (at.height, at.width), shape[0], turned)
    if pixels is None:
        return pixels_of(image, shape, background, turn=turn, way=way)
    return placed(pixels, at, shape, background).transpose(2, 0, 1)


def is_plain(image: Image.Image) -> TypeGuard[JpegImageFile]:
    """Whether an image is a JPEG, grey or RGB."""
    return isinstance(image, JpegImageFile) and image.mode in MODES


def upright_size(image: Image.Image, turned: Image.Transpose | None) -> tuple[int, int]:
    """Height and width of an image once it is turned upright."""
    across = turned in ACROSS
    return (image.width, image.height) if across else (image.height, image.width)


def fast_part(
    image: Image.Image,
    box: Box,
    size: tuple[int, int],
    channels: int,
    turned: Image.Transpose | None,
) -> np.ndarray | None:
    """A part of an open image that is yet to be turned, resized: uint8 [H, W, C] of `size`.

    `box` is in pixels of the image turned upright. None for what is not a plain JPEG, or damaged.
    """
    if not is_plain(image):
        return None
    wanted = (size[1], size[0]) if turned in ACROSS else size
    pixels = resized(image, wanted, in_file(box, upright_size(image, turned), turned))
    if pixels is None:
        return None
    if turned is not None:
        pixels = TURNED[turned](pixels)
    if pixels.ndim == 3 and channels == 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    return pixels if pixels.ndim == 3 else pixels[:, :, None].repeat(channels, axis=2)


def in_file(box: Box, size: tuple[int, int], turned: Image.Transpose | None) -> Box:
    """A box of an image of height and width `size`, upright, as it lies in the file."""
    top, left, height, width = box
    left = size[1] - left - width if turned in FROM_RIGHT else left
    top = size[0] - top - height if turned in FROM_BOTTOM else top
    return (left, top, width, height) if turned in ACROSS else (top, left, height, width)


def resized(image: JpegImageFile, size: tuple[int, int], box: Box) -> np.ndarray | None:
    """The part `box` of an open JPEG, scaled to height and width: uint8 [H, W] or [H, W, 3].

    None where torchvision cannot decode it.
    """
    top, left, height, width = box
    factor = next((f for f in FACTORS if reducible((height, width), size, f)), None)
    if factor is not None:
        return reduced(image, size, box, factor)
    decoder()
    data = bytearray(read_again(image))
    if alone_on_stderr():
        stop_below(data, top + height + BELOW)  # which torchvision's libjpeg remarks on
    try:
        with without_messages():
            pixels = torch.ops.image.decode_jpeg(
                torch.frombuffer(data, dtype=torch.uint8), MODES[image.mode], False
            )
        pixels = pixels[:, top : top + height, left : left + width]
        pixels = scaled(pixels, size)
    except (AttributeError, RuntimeError):  # no such function; damaged; not enough memory
        return None
    return pixels.permute(1, 2, 0).squeeze(2).numpy()


def reduced(image: JpegImageFile, size: tuple[int, int], box: Box, factor: int) -> np.ndarray:
    """The same of an image decoded at 1 / `factor` of its size. Raises OSError."""
    last = (lowest_row(size, box, factor) + BELOW) * factor
    if last < image.height and stop_below(data := bytearray(read_again(image)), last):
        # Damage below may end a decoder that looks for the next marker, but not one that goes on.
        with suppress(OSError), Image.open(BytesIO(data), formats=("JPEG",)) as upper:
            if is_plain(upper):
                return part_reduced(upper, size, box, factor)
    return part_reduced(image, size, box, factor)


def lowest_row(size: tuple[int, int], box: Box, factor: int) -> int:
    """The row of a reduced image above which lies all that its part `box`, scaled, depends on.

    A row of the result is a mean over two of its own heights, also of what lies below the part.
    """
    bottom, height = (box[0] + box[2]) / factor, box[2] / factor
    return ceil(bottom + max(1, height / size[0]))


def part_reduced(image: JpegImageFile, size: tuple[int, int], box: Box, factor: int) -> np.ndarray:
    """The part `box`, uint8 [H, W] or [H, W, 3], of an image that holds it.

    What lies below is cut off first: Pillow chooses by an image's height in which order it resizes
    rows and columns, and rounds in between.
    """
    full = image.width, image.height
    drafted = image.draft(image.mode, (image.width // factor, image.height // factor))
    (across, down) = full if drafted is None else drafted[1][2:]  # need not be whole numbers
    x, y = across / full[0], down / full[1]
    top, left, height, width = box
    part = left * x, top * y, (left + width) * x, (top + height) * y
    lowest = lowest_row(size, box, factor)
    held = image.crop((0, 0, image.width, lowest)) if lowest < image.height else image
    small = held.resize((size[1], size[0]), Image.Resampling.BILINEAR, part, reducing_gap=3.0)
    return np.asarray(small)


def reducible(own: tuple[int, int], size: tuple[int, int], factor: int) -> bool:
    """Whether height and width, reduced by a factor, are still larger than `size` by MARGIN."""
    least = MARGIN * factor
    return own[0] >= least * size[0] and own[1] >= least * size[1]


def stop_below(data: bytearray, row: int) -> bool:
    """Let decoders of a JPEG file stop at a row, by the height in its header; False if they cannot.

    They can where rows are stored in order: in baseline files (ITU T.81, B.2.2). Those that are cut
    off are left as they are, so that this is noticed.
    """
    at = 2 if data.endswith(END) else len(data)  # behind the marker of the beginning
    while (marker := data[at : at + 2]).startswith(b"\xff") and marker != SCAN:
        if marker in BASELINE:
            height = slice(at + 5, at + 7)
            if row >= int.from_bytes(data[height], "big"):
                return False
            data[height] = row.to_bytes(2, "big")
            return True
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def read_again(image: JpegImageFile) -> bytes:
    """The whole file of an open image. Raises OSError."""
    file = image.fp
    assert file is not None  # noqa: S101  (nothing is loaded yet)
    file.seek(0)
    return file.read()


def placed(
    pixels: np.ndarray, at: Placement, shape: tuple[int, int, int], background: Colour
) -> np.ndarray:
    """Pixels [h, w, C] at their place in an image [H, W, C] of `shape`, cut or surrounded."""
    channels, height, width = shape
    if at.top <= 0 and at.left <= 0 and at.height >= height and at.width >= width:
        return pixels[-at.top : height - at.top, -at.left : width - at.left]
    canvas = np.array(
        Image.new("RGB", (width, height), background).convert("L" if channels == 1 else "RGB")
    ).reshape(height, width, channels)
    canvas[at.top : at.top + at.height, at.left : at.left + at.width] = pixels
    return canvas


def alone_on_stderr() -> bool:
    """Whether no other thread could write to stderr meanwhile: as in a loader's process."""
    return get_worker_info() is not None or threading.active_count() == 1


@contextmanager
def without_messages() -> Iterator[None]:
    """Silence what torchvision's libjpeg writes to stderr about damage that it ignores."""
    if not alone_on_stderr():
        yield
        return
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)
