"""Image files that are damaged, hostile or unusual, and the rule for each mode."""

import errno
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image, ImageFile
from torture_parts import images

from trainer.core.errors import DataError
from trainer.dataset.shared import decode as decoding
from trainer.dataset.shared.decode import (
    UnreadableError,
    convert,
    decode,
    open_image,
    pixels_of,
    printable,
)
from trainer.dataset.shared.fast_decode import fast_pixels_of
from trainer.dataset.shared.masks import decode_mask
from trainer.dataset.shared.regular_file import open_regular

SHAPE = (3, 8, 8)


def grey(values: object, kind: type) -> Image.Image:
    return Image.fromarray(np.array(values, kind))


# What is opened


def test_other_formats_under_a_known_suffix_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would have Ghostscript run an EPS."""
    started = []
    monkeypatch.setattr(subprocess, "check_call", started.append)
    path = tmp_path / "x.png"
    for name in ("EPS", "PDF", "SGI", "TGA", "BLP", "PCX", "ICO", "DDS", "JPEG2000"):
        Image.init()
        Image.new("P" if name == "BLP" else "RGB", (8, 8)).save(path, name)
        with pytest.raises(UnreadableError, match=r"x\.png: it is damaged, or none of BMP GIF"):
            decode(path, SHAPE)
    assert started == []


def test_the_suffix_does_not_have_to_be_the_formats(tmp_path: Path) -> None:
    for name in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "MPO"):
        Image.new("RGB", (8, 8), (200, 200, 200)).save(tmp_path / "x.png", name)
        assert abs(int(decode(tmp_path / "x.png", SHAPE).mean()) - 200) <= 3


def write_fifo(path: Path) -> None:
    os.mkfifo(path)


def write_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (write_fifo, "not a regular file"),
        (write_link_to_a_fifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.mkdir(), "a folder, not a file"),
        (lambda path: path.symlink_to("absent"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["fifo", "link to a fifo", "device", "folder", "dangling link", "circle"],
)
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, write: Callable[[Path], None], why: str
) -> None:
    path = tmp_path / "x.png"
    write(path)
    for read in (lambda: decode(path, SHAPE), lambda: decode_mask(path, 8)):
        with pytest.raises(UnreadableError) as caught:
            read()
        start = f"cannot read the image {path}: {why}; dataset.corrupt=skip, where a"
        assert str(caught.value).startswith(start)


def test_a_link_to_an_image_is_read(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 7).save(tmp_path / "x.png")
    (tmp_path / "y.png").symlink_to("x.png")
    assert (decode(tmp_path / "y.png", SHAPE) == 7).all()


def test_files_are_closed(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 7).save(tmp_path / "x.tif", compression="tiff_lzw")
    (tmp_path / "y.tif").write_bytes((tmp_path / "x.tif").read_bytes()[:50])
    decode(tmp_path / "x.tif", SHAPE)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        decode(tmp_path / "x.tif", SHAPE)
        with pytest.raises(DataError):
            decode(tmp_path / "y.tif", SHAPE)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# How much


def test_an_image_of_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as 16 bits of 13,377 x 13,377, which would take 5 GB."""
    path = tmp_path / "x.png"
    monkeypatch.setattr(decoding, "MAX_PIXELS", 63)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    grey(np.zeros((8, 8)), np.uint16).save(path)
    for read in (lambda: decode(path, SHAPE), lambda: decode_mask(path, 8)):
        with pytest.raises(UnreadableError, match=r"x\.png: it has 8 x 8 pixels; 63 are read at"):
            read()


def test_the_limit_is_below_pillows() -> None:
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) > decoding.MAX_PIXELS
    assert decoding.MAX_PIXELS < 13_377**2


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_have_the_pixels_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, mode: str, channels: int
) -> None:
    image = images.picture(mode)
    if mode == "P":
        image.info["transparency"] = 3
    whole = np.asarray(convert(image, channels))
    for strip in (1, 41, 100):
        monkeypatch.setattr(decoding, "STRIP", strip)
        assert np.array_equal(np.asarray(convert(image, channels)), whole)


# Modes


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([[0, 257, 32896, 65535]], np.uint16, [0, 1, 128, 255]),
        ([[0, 257, 32896, 65535]], np.int32, [0, 1, 128, 255]),
        ([[0, 1 / 255, 0.5, 1]], np.float32, [0, 1, 128, 255]),
        ([[-0.0019, 0.001, 0.003, 1.0019]], np.float32, [0, 0, 1, 255]),
    ],
)
def test_numbers_are_scaled_by_one_rule(
    values: list[list[float]], kind: type, wanted: list[int]
) -> None:
    """A dark image stays dark whatever its brightest pixel is."""
    assert np.asarray(convert(grey(values, kind), 1)).tolist() == [wanted]
    for i, one in enumerate(values[0]):
        assert np.asarray(convert(grey([[one]], kind), 1)).item() == wanted[i]


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([[0, 100]], np.float32, "pixels of mode F must be from 0 to 1, got 0 to 100"),
        ([[-0.1, 1]], np.float32, "got -0.1 to 1"),
        ([[np.nan, 1]], np.float32, "got nan to nan"),
        ([[0, np.inf]], np.float32, "got 0 to inf"),
        ([[0, 65536]], np.int32, "pixels of mode I must be from 0 to 65535, got 0 to 65536"),
        ([[-1, 0]], np.int32, "got -1 to 0"),
    ],
)
def test_numbers_outside_are_refused(
    tmp_path: Path, values: list[list[float]], kind: type, why: str
) -> None:
    grey(values, kind).save(tmp_path / "x.tif")
    with pytest.raises(UnreadableError, match=rf"x\.tif: .*{why};"):
        decode(tmp_path / "x.tif", (1, 1, 2))


# What is said


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (ValueError(), "ValueError"),
        (ValueError("two\nlines \x1b[31mred"), "two lines \\x1b[31mred"),
        (RecursionError("deep"), "RecursionError: deep"),
        (OSError("unrecognised data stream"), "unrecognised data stream"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y.png"), "Permission denied"),
        (Image.DecompressionBombError("big"), "it has too many pixels (a decompression bomb?)"),
    ],
)
def test_whatever_is_raised_is_one_line_that_names_the_file_once(
    tmp_path: Path, error: Exception, why: str
) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (8, 8)).save(path)
    with pytest.raises(UnreadableError) as caught, open_image(path):
        raise error
    assert str(caught.value).startswith(f"cannot read the image {path}: {why};")
    assert str(caught.value).count("x.png") == 1


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "")],
)
def test_a_fault_of_the_machine_is_not_a_damaged_file(tmp_path: Path, error: Exception) -> None:
    """dataset.corrupt=skip would leave out a sound image, and the cache would remember it."""
    path = tmp_path / "x.png"
    Image.new("L", (8, 8)).save(path)
    with pytest.raises(DataError, match=r"cannot read .*x\.png: ") as caught, open_image(path):
        raise error
    assert not isinstance(caught.value, UnreadableError)
    assert "corrupt" not in str(caught.value)


def test_a_disk_that_fails_under_libtiff_is_no_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libtiff reads by itself, and Pillow says "decoder error -2" whatever the reason."""
    path = tmp_path / "x.tif"
    grey(np.arange(4096).reshape(64, 64) % 251, np.uint8).save(path, compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:8] + b"\xff" * 100 + path.read_bytes()[108:])
    with pytest.raises(UnreadableError):
        decode(path, SHAPE)
    opened = []

    def failing(path: str | Path) -> BinaryIO:
        opened.append(path)
        if len(opened) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return open_regular(path)

    monkeypatch.setattr(decoding, "open_regular", failing)
    with pytest.raises(DataError, match=r"x\.tif: Input/output error") as caught:
        decode(path, SHAPE)
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_gigabytes_of_nothing_behind_an_image_are_not_read(tmp_path: Path, kind: str) -> None:
    """They take no room on the disk, and eight gigabytes of memory."""
    path = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(path, kind)
    os.truncate(path, 2**33)
    for pixels in (pixels_of, fast_pixels_of):
        with pytest.raises(UnreadableError, match="it has 8,589,934,592 bytes; files of 1,073"):
            decode(path, SHAPE, pixels=pixels)


def test_names_are_shown_with_what_cannot_be_printed_escaped(tmp_path: Path) -> None:
    assert printable("café [b] 日本") == "café [b] 日本"
    assert printable("a\x1b[31m\n\udce9") == "a\\x1b[31m\\n\\udce9"
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    Image.new("L", (8, 8), 9).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(path)
    assert (decode(path, SHAPE) == 9).all()
    path.write_bytes(b"damaged")
    with pytest.raises(UnreadableError, match=r"caf\\udce9\.png: it is damaged"):
        decode(path, SHAPE)


def test_damaged_images_of_all_formats_are_one_line_each(tmp_path: Path) -> None:
    """`scripts/torture.py images` tries 20,000."""
    for outcome in images.images(tmp_path, Namespace(images=100, seed=0)):
        assert outcome.failures == []
        assert outcome.tried == 100


def test_warnings_of_pillow_and_messages_of_libtiff_are_not_shown(tmp_path: Path) -> None:
    """A TIFF whose resolution lies outside the file; one whose strip is damaged."""
    path = tmp_path / "x.tif"
    Image.new("L", (8, 8), 9).save(path, dpi=(300, 300))
    body = bytearray(path.read_bytes())
    at = body.index(b"\x1a\x01\x05\x00\x01\x00\x00\x00") + 8  # XResolution, one rational
    body[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(body)
    Image.new("L", (8, 8), 9).save(tmp_path / "y.tif", compression="tiff_adobe_deflate")
    body = bytearray((tmp_path / "y.tif").read_bytes())
    at = body.index(b"\x78\x9c") if b"\x78\x9c" in body else 8
    body[at : at + 4] = bytes(4)
    (tmp_path / "y.tif").write_bytes(body)
    program = f"""
from trainer.core.errors import DataError
from trainer.dataset.shared.decode import decode
decode("{path}", (1, 8, 8))
try:
    decode("{tmp_path}/y.tif", (1, 8, 8))
except DataError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")
