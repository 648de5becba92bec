"""The size of the decoded images that `dataset.size=auto` stands for."""

from collections.abc import Sequence
from statistics import median_low

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import ImageSource, UnreadableError, open_image

SAMPLED = 200  # images whose size is read
LARGEST = 224  # pixels of a side: what models for photographs are trained on


def auto_side(paths: Sequence[ImageSource]) -> int:
    """The median short side of `SAMPLED` images, spread evenly over the files; at most `LARGEST`.

    Only headers are read. Files that cannot be read do not count. Raises DataError if none can.
    """
    number = min(SAMPLED, len(paths))
    sampled = [paths[i * len(paths) // number] for i in range(number)]
    sizes = [size for size in (header_size(path, skip=True) for path in sampled) if size]
    if not sizes:
        sizes = [first_size(paths, skip=True)]
    return min(LARGEST, median_low([min(size) for size in sizes]))


def first_size(paths: Sequence[ImageSource], *, skip: bool) -> tuple[int, int]:
    """Height and width of the first image; with `skip`, of the first that can be read."""
    fault: UnreadableError | None = None
    for path in paths:
        try:
            with open_image(path) as image:
                return image.height, image.width
        except UnreadableError as error:
            if not skip:
                raise
            fault = error
    raise DataError("none of the images can be read" + (f"; {fault}" if fault else ""))


def header_size(path: ImageSource, *, skip: bool) -> tuple[int, int] | None:
    """Height and width by the header; with `skip`, None for an unreadable file."""
    try:
        with open_image(path) as image:
            return image.height, image.width
    except UnreadableError:
        if not skip:
            raise
    return None
