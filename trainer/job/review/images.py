"""The images of the page as data URIs, from their files where there are any; or texts."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from trainer.core.errors import ConfigError
from trainer.core.text import beginning, plain
from trainer.dataset.shared.decode import convert, open_image, upright
from trainer.dataset.shared.image_files import ImageFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trainer.dataset.shared.split import Images
    from trainer.dataset.shared.texts import Texts

LARGEST = 24_000_000  # bytes of all images together
SIDES = (320, 224, 160, 112, 64)  # pixels of the longer side, the first that fits
PNG_SIDE = 64  # up to which an image is kept exactly
LONGEST = 5000  # characters of a text; a browser lays out longer ones slowly
ESCAPED = 12  # bytes of the longest character as JSON, such as \\ud83d\\ude00


def data_uris(images: Images, ids: Iterable[int]) -> dict[int, str]:
    """Data URIs of the images by dataset id, as large as fits into 24 MB.

    Raises DataError for a file that cannot be read, ConfigError for too many images.
    """
    wanted = list(dict.fromkeys(ids))
    for side in SIDES:
        found = fitting(wanted, lambda i, side=side: data_uri(image_of(images, i, side)))
        if found or not wanted:
            return found
    raise ConfigError(
        f"{len(wanted)} images of {SIDES[-1]} pixels are more than {LARGEST / 1e6:.0f} MB; lower "
        "job.number or job.neighbours"
    )


def texts_of(source: Texts, ids: Iterable[int]) -> dict[int, str]:
    """The texts by dataset id; of long ones the beginning, so that all fit into 24 MB."""
    wanted = list(dict.fromkeys(ids))
    longest = min(LONGEST, LARGEST // (ESCAPED * max(len(wanted), 1)))
    return {i: plain(beginning(source.texts[i], longest)) for i in wanted}


def fitting(ids: list[int], uri: Callable[[int], str]) -> dict[int, str]:
    """The URIs by id; none at all where together they are too large."""
    found, size = {}, 0
    for i in ids:
        found[i] = uri(i)
        size += len(found[i])
        if size > LARGEST:
            return {}
    return found


def image_of(images: Images, i: int, side: int) -> Image.Image:
    """The image of a dataset id, grey or RGB, no side longer than `side`; a file as it is."""
    if isinstance(images, ImageFiles):
        with open_image(images.source(i)) as file:
            file.load()
            turned = upright(file) if images.turn else file
            image = convert(turned, 1 if file.mode == "L" else 3, images.background)
    else:
        pixels = images.read([i])[0].permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    return image


def data_uri(image: Image.Image) -> str:
    """A small image as PNG, a larger one as JPEG, as a data URI."""
    kind = "png" if max(image.size) <= PNG_SIDE else "jpeg"
    buffer = BytesIO()
    image.save(buffer, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
