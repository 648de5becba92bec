"""Damaged images of every format that Pillow can write: an error of one line, or an image.

Whatever is under one of the suffixes that are read, nothing but a DataError that names the file may
come out, within seconds, and nothing may be written to stderr.
"""

import io
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from torture_parts.outcome import Outcome
from trainer.core.errors import DataError
from trainer.dataset.shared.decode import SUFFIXES, decode, pixels_of
from trainer.dataset.shared.fast_decode import decoder, fast_pixels_of
from trainer.dataset.shared.masks import decode_mask

SLOW = 20.0  # seconds of processor time that one image may take
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
ONE_MODE = ("PDF", "PALM", "ICNS")  # ICNS writes 1024 x 1024 pixels: all modes take 13 s
SETTINGS = (
    {},
    {"compression": "tiff_lzw"},
    {"compression": "tiff_adobe_deflate"},
    {"compression": "packbits"},
    {"progressive": True},
    {"lossless": True},
    {"save_all": True, "append_images": [Image.new("L", (20, 16), 9)]},
)
Sample = tuple[str, bytes]  # a format's name and a file
WAYS: dict[str, Callable[..., np.ndarray]] = {"exact": pixels_of, "fast": fast_pixels_of}


def images(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield a row of `options.images` damaged images for each way to decode."""
    folder.mkdir(parents=True, exist_ok=True)
    decoder()  # imports torchvision before a fork
    samples = list(whole_images())
    for way in WAYS:
        if way == "fast":  # which differs for JPEG alone: about half of them
            ours = [sample for sample in samples if sample[0] == "JPEG"]
            samples += ours * (len(samples) // len(ours))
        yield run(samples, options.images, options.seed, folder, way)


def run(samples: list[Sample], number: int, seed: int, folder: Path, way: str) -> Outcome:
    """Read so many of them damaged, in a child process that a crash would end."""
    outcome = Outcome(f"damaged images of all formats, decode={way}", number)
    found: Counter[str] = Counter()
    first = 0
    while first < number:
        done = in_child(
            lambda begin=first: read_all(samples, range(begin, number), seed, folder, way)
        )
        for line in done.lines:
            what, _, text = line.partition("\t")
            found[what] += 1
            outcome.expect(what in ("read", "refused"), f"{what} {text}")
        first += len(done.lines)
        if first < number:
            outcome.expect(False, f"image {first} of seed {seed} ended the process: {done.how}")
            first += 1
        outcome.expect(not done.stderr, f"stderr: {done.stderr[:500]}")
    formats = len({name for name, _ in samples})
    outcome.found = f"{formats} formats; {found['read']} read, {found['refused']} refused by name"
    return outcome


class Done:
    """What a child process left: its lines, its stderr, and how it ended."""

    def __init__(self, lines: list[str], stderr: str, how: str) -> None:
        self.lines = lines
        self.stderr = stderr
        self.how = how


def in_child(work: Callable[[], Iterator[str]]) -> Done:
    """Run `work` in a child process and collect the lines that it yields."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.dup2(err.fileno(), 2)
            with suppress(BaseException):
                for line in work():
                    os.write(out.fileno(), line.encode(errors="backslashreplace") + b"\n")
                os._exit(0)
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Done(texts[0].splitlines(), texts[1], f"exit code {code}")


def whole_images() -> Iterator[Sample]:
    """Images of every format, mode and setting that Pillow writes, with the format's name."""
    Image.init()
    for name in sorted(Image.SAVE):
        seen: set[bytes] = set()
        for mode in MODES if name not in ONE_MODE else MODES[1:2]:
            for settings in SETTINGS:
                buffer = io.BytesIO()
                with suppress(Exception), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    picture(mode).save(buffer, name, **settings)
                if buffer.getvalue() and buffer.getvalue() not in seen:
                    seen.add(buffer.getvalue())
                    yield name, buffer.getvalue()
    yield from photographs()


def photographs() -> Iterator[Sample]:
    """JPEG files large enough to be decoded at a part of their size."""
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            buffer = io.BytesIO()
            picture(mode, 8).save(buffer, "JPEG", progressive=progressive)
            yield "JPEG", buffer.getvalue()


def picture(mode: str, scale: int = 1) -> Image.Image:
    """An image of `scale` times 20 x 16 pixels of any mode."""
    shape = 16 * scale, 20 * scale, 3
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    return Image.fromarray(pixels).convert("L" if mode == "LAB" else mode)


def read_all(
    samples: list[Sample], numbers: range, seed: int, folder: Path, way: str
) -> Iterator[str]:
    """Yield what became of each damaged image: `read`, `refused`, or a fault and its details."""
    warnings.simplefilter("default")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as decode.py does at its import
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        name, body = rng.choice(samples)
        path = folder / f"{number}{rng.choice(list(SUFFIXES))}"
        path.write_bytes(damaged(body, samples, rng))
        began = time.process_time()
        what = read(path, rng, way)
        seconds = time.process_time() - began
        if seconds > SLOW:
            what = f"slow\t{seconds:.0f} s"
        path.unlink()
        yield what if what in ("read", "refused") else f"{what} (image {number}, {name})"


def read(path: Path, rng: random.Random, way: str) -> str:
    """Read an image or a mask; the outcome in a word, with details for a fault."""
    shape = rng.choice((1, 3)), rng.choice((8, 16)), rng.choice((8, 20))
    try:
        if way == "exact" and rng.random() < 0.2:
            decode_mask(path, 8)
        else:
            decode(path, shape, pixels=WAYS[way])
    except DataError as error:
        text = str(error)
        good = text.count(path.name) == 1 and text.isprintable()
        return "refused" if good else f"unclear\t{text!r}"
    except BaseException:
        return f"raised\t{' '.join(traceback.format_exc().split())[-600:]}"
    return "read"


def damaged(body: bytes, samples: list[Sample], rng: random.Random) -> bytes:
    """The bytes after one to four accidents; now and then as they are."""
    changed = bytearray(body)
    for _ in range(rng.randrange(5)):
        if changed:
            rng.choice(ACCIDENTS)(changed, rng)
    if rng.random() < 0.05:
        other = rng.choice(samples)[1]
        changed = changed[: rng.randrange(len(changed) + 1)] + other[rng.randrange(len(other)) :]
    return bytes(changed)


def flip(body: bytearray, rng: random.Random) -> None:
    """Flip a bit."""
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)


def flip_in_head(body: bytearray, rng: random.Random) -> None:
    """Replace a byte of the header."""
    body[rng.randrange(min(len(body), 64))] = rng.randrange(256)


def extreme_number(body: bytearray, rng: random.Random) -> None:
    """Overwrite two or four bytes by an extreme number."""
    at = rng.randrange(min(len(body), 512))
    number = rng.choice(
        (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff", b"\0\0")
    )
    body[at : at + len(number)] = number


def truncate(body: bytearray, rng: random.Random) -> None:
    """Cut off the end."""
    del body[rng.randrange(len(body)) :]


def remove(body: bytearray, rng: random.Random) -> None:
    """Remove some bytes."""
    at = rng.randrange(len(body))
    del body[at : at + rng.randrange(1, 40)]


def insert(body: bytearray, rng: random.Random) -> None:
    """Insert some bytes."""
    at = rng.randrange(len(body))
    body[at:at] = rng.randbytes(rng.randrange(1, 40))


def repeat(body: bytearray, rng: random.Random) -> None:
    """Repeat a part."""
    at = rng.randrange(len(body))
    body[at:at] = body[at : at + rng.randrange(1, 200)]


ACCIDENTS = (flip, flip, flip_in_head, extreme_number, truncate, remove, insert, repeat)
