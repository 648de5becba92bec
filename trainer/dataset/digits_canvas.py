"""Digits pasted on larger canvases: for dense, multi-label, regression and detection tasks.

The digits are those of `dataset=digits` (E. Alpaydin, C. Kaynak 1998, CC BY 4.0).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.dataset.base import Dataset, Pixels, Raw, Split, divide
from trainer.dataset.digits import Digits
from trainer.dataset.shared.scattered import Scattered

TILE = 8  # height and width of a digit
INK = 64  # a quarter of white: fainter pixels do not count as part of a digit
TRIES = 10_000  # layouts drawn before a canvas counts as full
TRAIN, TEST = 2, 3  # random streams; 0 and 1 belong to the splits


@dataclass(kw_only=True)
class DigitsCanvas(Dataset):
    """`digits` non-overlapping digits on each of `examples` canvases of `size` x `size`.

    The canvases are the same for every seed. `test_fraction` of them are for testing; their digits
    occur on no other canvas. Targets: `mask`, 0 for the background and c + 1 for the digit c;
    `labels`, which of the ten digits are on the canvas; `box`, the edges x0, y0, x1, y1 of a single
    digit as fractions of the side; `clean`, the canvas without noise; `boxes`, class and edges of
    each digit, in pixels.

    With `boxes` a canvas has 1 to `digits` digits, as many as find room, whose `sides` are uniform
    between two numbers of pixels, and `clutter` tiles that are no digits.
    """

    size: int = 32
    digits: int = 5
    scale: int = 1
    examples: int = 1000
    noise: float = 0.05
    target: Literal["mask", "labels", "box", "clean", "boxes"] = "mask"
    sides: tuple[int, int] = (10, 18)
    clutter: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("digits", "scale", "examples"):
            within(f"dataset.{name}", getattr(self, name), "[1, inf)")
        within("dataset.noise", self.noise, "[0, inf)")
        if self.size < TILE * self.scale:
            raise ValueError(
                f"dataset.size must be at least {TILE} · dataset.scale, got {self.size}"
            )
        if self.target == "box" and self.digits != 1:
            raise ValueError(f"dataset.target=box needs dataset.digits=1, got {self.digits}")
        self.check_boxes()

    def check_boxes(self) -> None:
        """Raise ValueError for sides or clutter that no canvas can have."""
        within("dataset.clutter", self.clutter, "[0, inf)")
        if self.clutter and self.target != "boxes":
            raise ValueError(
                f"dataset.clutter={self.clutter} needs dataset.target=boxes, got {self.target}"
            )
        low, high = self.sides
        if self.target == "boxes" and not TILE <= low <= high <= self.size:
            raise ValueError(
                f"dataset.sides must be [low,high] from {TILE} to dataset.size={self.size}, got "
                f"[{low},{high}]"
            )
        if self.target == "boxes" and self.scale != 1:
            raise ValueError(
                f"dataset.scale={self.scale} has no effect with dataset.target=boxes; set "
                "dataset.sides"
            )

    def load(self) -> Raw:
        """Generate all canvases. Raises ConfigError if the digits do not fit on one."""
        source = Digits().load().train
        test_digits, train_digits = divide(
            source, self.test_fraction, generator(0, Purpose.SPLIT, 0)
        )
        number = int(self.examples * self.test_fraction + 0.5)
        digits = tuple("0123456789")
        named = {"mask": ("background", *digits), "labels": digits, "boxes": digits}
        make = self.scattered if self.target == "boxes" else self.canvases
        train = make(train_digits, self.examples - number, TRAIN)
        return Raw(train, make(test_digits, number, TEST), named.get(self.target, ()))

    def scattered(self, source: Split, number: int, stream: int) -> Split:
        """Scatter a split's digits on `number` canvases, with boxes."""
        number = number if len(source) else 0
        rng = generator(0, Purpose.SPLIT, stream)
        tiles = source.images.read(source.ids.tolist())[:, 0].numpy()
        scatter = Scattered(
            size=self.size, digits=self.digits, clutter=self.clutter, sides=self.sides, ink=INK
        )
        clean, boxes = scatter(tiles, source.labels[source.ids].numpy(), number, rng)
        images = add_noise(clean, self.noise, rng)
        return Split(Pixels(torch.from_numpy(images)[:, None]), boxes, torch.arange(number))

    def canvases(self, source: Split, number: int, stream: int) -> Split:
        """Paste a split's digits on `number` canvases, each equally often to within one."""
        number = number if len(source) else 0
        rng = generator(0, Purpose.SPLIT, stream)
        rounds = -(-number * self.digits // max(len(source), 1))
        orders = [rng.permutation(len(source)) for _ in range(rounds)]
        rows = np.concatenate([np.empty(0, int), *orders])[: number * self.digits]
        ids = source.ids[torch.from_numpy(rows)]
        tiles = source.images.read(ids.tolist()).numpy().reshape(number, self.digits, TILE, TILE)
        tiles = tiles.repeat(self.scale, 2).repeat(self.scale, 3)
        corners = layout(number, self.digits, TILE * self.scale, self.size, rng)
        ink = tiles >= INK
        clean = paste(tiles, corners, self.size)
        images = add_noise(clean, self.noise, rng)
        if self.target == "mask":
            values = source.labels[ids].numpy().reshape(number, self.digits, 1, 1) + 1
            labels = torch.from_numpy(paste((ink * values).astype(np.uint8), corners, self.size))
        elif self.target == "labels":
            digits = source.labels[ids].reshape(number, self.digits)
            labels = torch.zeros(number, 10, dtype=torch.bool).scatter_(1, digits, value=True)
        elif self.target == "box":
            labels = bounding_boxes(ink[:, 0], corners[:, 0]) / self.size
        else:
            labels = torch.from_numpy(clean)[:, None].float() / 255
        return Split(Pixels(torch.from_numpy(images)[:, None]), labels, torch.arange(number))


def layout(number: int, digits: int, side: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Top and left [N, D, 2] of tiles, uniform over the layouts without overlap.

    Raises ConfigError if none is found.
    """
    corners = np.zeros((number, digits, 2), np.int64)
    left = np.arange(number)
    for _ in range(TRIES):
        if not len(left):
            return corners
        drawn = rng.integers(size - side + 1, size=(len(left), digits, 2))
        near = (np.abs(drawn[:, :, None] - drawn[:, None]) < side).all(-1)
        apart = near.sum((1, 2)) == digits  # each is near only itself
        corners[left[apart]] = drawn[apart]
        left = left[~apart]
    raise ConfigError(
        f"dataset.digits={digits} of {side}x{side} do not fit on dataset.size={size}; lower "
        "dataset.digits or raise dataset.size"
    )


def paste(tiles: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Paste tiles [N, D, h, w] on black canvases uint8 [N, S, S], corners at [N, D, 2]."""
    canvases = np.zeros((len(tiles), size, size), np.uint8)
    row = np.arange(len(tiles))[:, None, None]
    y, x = np.arange(tiles.shape[2])[:, None], np.arange(tiles.shape[3])
    for d in range(tiles.shape[1]):
        top, left = corners[:, d, :, None, None].transpose(1, 0, 2, 3)
        canvases[row, top + y, left + x] = tiles[:, d]
    return canvases


def add_noise(canvases: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise to canvases uint8 [N, S, S]; `deviation` is a fraction of white."""
    if not deviation:
        return canvases
    added = rng.standard_normal(canvases.shape, np.float32) * np.float32(255 * deviation)
    return (canvases + added).round().clip(0, 255).astype(np.uint8)


def bounding_boxes(ink: np.ndarray, corners: np.ndarray) -> Tensor:
    """Edges x0, y0, x1, y1 [N, 4] in pixels of the ink bool [N, h, w], tiles at [N, 2]."""
    edges = np.empty((len(ink), 2, 2), np.float32)
    for axis in (0, 1):  # rows, then columns
        occupied = np.any(ink, 2 - axis)
        edges[:, 0, 1 - axis] = corners[:, axis] + occupied.argmax(1)
        edges[:, 1, 1 - axis] = corners[:, axis] + occupied.shape[1] - occupied[:, ::-1].argmax(1)
    return torch.from_numpy(edges.reshape(-1, 4))
