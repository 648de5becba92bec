"""Images in files that keep their aspect ratio, of which pieces are cut out when they are read."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.core.errors import TrainerError
from trainer.dataset.shared.decode import (
    ImageSource,
    convert,
    fault,
    open_image,
    turn_of,
    upright,
)
from trainer.dataset.shared.fast_decode import decoder, fast_part, upright_size
from trainer.dataset.shared.image_files import CHECKED_AT_ONCE, ImageFiles
from trainer.dataset.shared.letterbox import placement
from trainer.dataset.shared.parallel import available_cores, in_chunks
from trainer.dataset.shared.windows import Cut, Size, Window, middle, piece, placed

T = TypeVar("T")

OPEN_AT_ONCE = 32  # files whose windows are drawn together


class UncutFiles(ImageFiles):
    """Images as their files have them, or with a short side of `short` pixels.

    `read` returns the middle of each, scaled to cover `size`, as evaluation sees it.
    """

    def __init__(self, *arguments: object, short: int | None, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # pyright: ignore
        self.short = short
        self.how += f" uncut {short} {decoder()}"

    def decode(self, i: int) -> np.ndarray:
        """The middle of image i as uint8 [C, H, W]. Raises DataError naming a damaged file."""
        _, height, width = self.shape
        with open_image(self.source(i)) as image:
            own = Uncut(image, self)
            return own.piece(middle(own.size, (height, width))).numpy()

    def pieces(self, ids: Sequence[int], cut: Cut) -> Tensor:
        """The pieces uint8 [len(ids), C, h, w] of images `ids`, the rows of a batch in order.

        Raises DataError naming a damaged file.
        """
        starts = range(0, len(ids), OPEN_AT_ONCE)
        parts = [self.some_pieces(ids[i : i + OPEN_AT_ONCE], cut, i) for i in starts]
        return torch.stack([each for part in parts for each in part])

    def some_pieces(self, ids: Sequence[int], cut: Cut, first: int) -> list[Tensor]:
        """The pieces of images `ids`, the rows of a batch from `first` on."""
        return self.each_open(ids, cut, first, lambda image, window: image.piece(window))

    def each_open(
        self,
        ids: Sequence[int],
        cut: Cut | None,
        first: int,
        read: Callable[["Uncut", Window], T],
    ) -> list[T]:
        """What `read` makes of each of the images and its window; of the middle without a cut."""
        with ExitStack() as opened:
            sources = [self.source(i) for i in ids]
            images = [Uncut(opened.enter_context(open_image(s)), self) for s in sources]
            sizes, (_, height, width) = [image.size for image in images], self.shape
            if cut is None:
                windows = [middle(size, (height, width)) for size in sizes]
            else:
                windows = cut.windows(sizes, first)
            rows = zip(sources, images, windows, strict=True)
            return [naming(source, partial(read, image, at)) for source, image, at in rows]

    def picture(self, i: int) -> Tensor:
        """Image i as a whole, uint8 [C, H, W] of `stored_sizes[i]`; pixels lie as [H, W, C]."""
        with open_image(self.source(i)) as image:
            return Uncut(image, self).picture()

    @cached_property
    def stored_sizes(self) -> np.ndarray:
        """Height and width of the whole images, int32 [M, 2], upright. Raises DataError."""
        found = self.get_or_make("uncut", (len(self), 8), self.read_stored_sizes)
        return found.numpy().view(np.int32)

    def read_stored_sizes(self) -> Tensor:
        """The same by the headers as bytes, uint8 [M, 8]."""
        sizes = np.empty((len(self), 2), np.int32)

        def read(ids: range) -> list[Size]:
            found = []
            for i in ids:
                with open_image(self.source(i)) as image:
                    found.append(Uncut(image, self).size)
            return found

        for ids, found in in_chunks(read, len(self), CHECKED_AT_ONCE, available_cores()):
            sizes[ids.start : ids.stop] = found
        return torch.from_numpy(sizes.view(np.uint8).reshape(len(self), 8))


def naming(source: ImageSource, read: Callable[[], T]) -> T:
    """What `read` returns; what it raises is about one file, where several are open."""
    try:
        return read()
    except TrainerError:
        raise
    except Exception as error:
        raise fault(source, error) from error


class Uncut:
    """An open image: turned upright, and with the short side of its source."""

    def __init__(self, image: Image.Image, source: UncutFiles) -> None:
        self.image, self.source = image, source
        self.turned = turn_of(image) if source.turn else None
        self.full = upright_size(image, self.turned)
        self.size = self.full  # of the whole image
        if source.short is not None:
            at = placement(self.full, (source.short, source.short), "cover")
            self.size = at.height, at.width

    def picture(self) -> Tensor:
        """The whole image uint8 [C, H, W]."""
        pixels = self.decoded_fast((0, 0, *self.full), self.size)
        return self.decoded_whole() if pixels is None else pixels

    def piece(self, window: Window) -> Tensor:
        """A piece uint8 [C, h, w]; of a large photograph no more is resized than it takes."""
        if self.size != self.full:
            return piece(self.picture(), window)
        box = 0, 0, *self.full
        if not window.whole:
            box = window.top, window.left, window.height, window.width
        size = (window.height, window.width) if window.whole else window.size
        pixels = self.decoded_fast(box, size)
        if pixels is None:
            return piece(self.picture(), window)
        return placed(pixels, window) if window.whole else pixels

    def decoded_fast(self, box: tuple[int, int, int, int], size: Size) -> Tensor | None:
        """A part of the image, resized; None where Pillow is to decode all of it."""
        if not self.source.fast:
            return None
        pixels = fast_part(self.image, box, size, self.source.shape[0], self.turned)
        return None if pixels is None else channels_first(pixels)

    def decoded_whole(self) -> Tensor:
        """The whole image by Pillow."""
        channels = self.source.shape[0]
        self.image.load()
        image = upright(self.image) if self.source.turn else self.image
        image = convert(image, channels, self.source.background)
        if self.size != self.full:
            size = self.size[1], self.size[0]
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        return channels_first(np.asarray(image).reshape(*self.size, channels))


def channels_first(pixels: np.ndarray) -> Tensor:
    """Pixels uint8 [H, W, C] as a tensor [C, H, W], which lies as they do."""
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()  # of Pillow, or mirrored: torch takes neither
    return torch.from_numpy(pixels).permute(2, 0, 1)
