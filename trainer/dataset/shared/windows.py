"""Pieces of images of many sizes: cut out one by one, and brought to one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.letterbox import placement

Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class Window:
    """A piece of an image, in pixels, and the height and width that it is brought to.

    The part of `height` and `width` at `top` and `left` is cut out, then resized to `size`. If
    `whole`, the image as a whole is resized to `height` and `width`, and lies at `top` and `left`
    of a black picture of `size`, which may be anywhere.
    """

    top: int
    left: int
    height: int
    width: int
    size: Size
    whole: bool


class Cutter(Protocol):
    """Draws pieces, such as an augmentation does."""

    def windows(self, draws: ExampleRandom, height: Tensor, width: Tensor) -> list[Window]:
        """The windows of B images of heights and widths [B] int64, with numbers from `draws`."""
        ...


@dataclass(frozen=True)
class Cut:
    """How the images of a batch are cut: by whom, and with which examples' random numbers."""

    cutter: Cutter
    seed: int
    epoch: int
    positions: list[int]  # [B] of the rows in the epoch's plan

    def windows(self, sizes: Sequence[Size], first: int = 0) -> list[Window]:
        """The windows of images of heights and widths [b, 2], the batch's rows from `first` on."""
        positions = torch.tensor(self.positions[first : first + len(sizes)])
        height, width = torch.tensor(sizes).unbind(1)
        return self.cutter.windows(ExampleRandom(self.seed, self.epoch, positions), height, width)


@dataclass(frozen=True)
class EpochCut:
    """The same for an epoch: `places` says where the rows of a step lie in the epoch's plan."""

    cutter: Cutter
    seed: int
    epoch: int
    places: Callable[[int], Tensor]  # step of the epoch → positions [B]

    def of_step(self, step: int) -> Cut:
        """How the images of a step's batch are cut."""
        return Cut(self.cutter, self.seed, self.epoch, self.places(step).tolist())


def middle(size: Size, target: Size) -> Window:
    """The middle of an image scaled to cover a `target`. Raises ValueError if too elongated."""
    at = placement(size, target, "cover")
    return Window(at.top, at.left, at.height, at.width, target, whole=True)


def piece(pixels: Tensor, window: Window) -> Tensor:
    """The piece uint8 [C, h, w] of an image uint8 [C, H, W]."""
    if window.whole:
        return placed(scaled(pixels, (window.height, window.width)), window)
    bottom, right = window.top + window.height, window.left + window.width
    return scaled(pixels[:, window.top : bottom, window.left : right], window.size)


def scaled(pixels: Tensor, size: Size) -> Tensor:
    """Pixels uint8 [C, H, W] resized with antialiasing.

    On a CPU torch has a kernel for uint8, faster by a third where pixels lie as [H, W, C] densely.
    """
    if pixels.shape[1:] == size:
        return pixels
    if pixels.device.type == "cpu":
        dense = pixels[None].contiguous(memory_format=torch.channels_last)
        return F.interpolate(dense, size, mode="bilinear", antialias=True)[0]
    resized = F.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True)[0]
    return resized.round_().clamp_(0, 255).byte()


def placed(pixels: Tensor, window: Window) -> Tensor:
    """Pixels [C, height, width] at the window's place in a black picture [C, h, w]."""
    top, left, (height, width) = window.top, window.left, window.size
    inner = pixels[
        :,
        max(0, -top) : max(0, height - top),
        max(0, -left) : max(0, width - left),
    ]
    if inner.shape[1:] == window.size:
        return inner
    picture = pixels.new_zeros(height, width, len(pixels)).permute(2, 0, 1)
    down, right = max(0, top), max(0, left)
    picture[:, down : down + inner.shape[1], right : right + inner.shape[2]] = inner
    return picture
