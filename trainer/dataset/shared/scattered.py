"""Digits of several sizes scattered on canvases, with the box of each: data for detection."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.dataset.shared.boxes import padded

TRIES = 50  # places drawn for a tile; one that finds none is left out

Placed = list[tuple[int, int, int]]  # top, left and side of each tile


class Scattered:
    """Canvases of `size` x `size` with 1 to `digits` digits, and `clutter` tiles that are none.

    Tiles do not overlap. Their sides are uniform on `sides`, both ends included. Clutter is a digit
    with its left and right halves exchanged and, every other time, the upper and lower ones too:
    strokes like those of a digit where none is. (An 8 with its upper and lower halves exchanged
    alone is an 8.)
    """

    def __init__(
        self, *, size: int, digits: int, clutter: int, sides: tuple[int, int], ink: int
    ) -> None:
        self.size = size
        self.digits = digits
        self.clutter = clutter
        self.sides = sides
        self.ink = ink  # fainter pixels do not count as part of a digit

    def __call__(
        self, tiles: np.ndarray, labels: np.ndarray, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, Tensor]:
        """Canvases uint8 [number, S, S] and boxes [number, digits, 5].

        Of tiles uint8 [T, h, h], whose classes `labels` [T] count from 0.
        """
        scaled = {side: resized(tiles, side) for side in range(self.sides[0], self.sides[1] + 1)}
        canvases = np.zeros((number, self.size, self.size), np.uint8)
        rows = [self.fill(canvas, scaled, labels, rng) for canvas in canvases]
        boxes = padded([torch.tensor(row).reshape(-1, 5) for row in rows])
        room = torch.zeros(number, self.digits - boxes.shape[1], 5)
        return canvases, torch.cat([boxes, room], 1)

    def fill(
        self,
        canvas: np.ndarray,
        scaled: dict[int, np.ndarray],
        labels: np.ndarray,
        rng: np.random.Generator,
    ) -> list[list[float]]:
        """Paste tiles on a canvas [S, S] in place; return the boxes of its digits."""
        digits = int(rng.integers(1, self.digits + 1))
        boxes: list[list[float]] = []
        for nth, (top, left, side) in self.places(digits + self.clutter, rng):
            which = rng.integers(len(labels))
            tile = scaled[side][which]
            if nth >= digits:
                tile = np.roll(tile, (side // 2 * int(rng.integers(2)), side // 2), (0, 1))
            canvas[top : top + side, left : left + side] = tile
            if nth < digits:
                y0, y1, x0, x1 = extent(tile >= self.ink)
                box = [left + x0, top + y0, left + x1, top + y1]
                boxes.append([float(v) for v in (labels[which] + 1, *box)])
        return boxes

    def places(
        self, tiles: int, rng: np.random.Generator
    ) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Yield the number of each tile for which there is room, with its top, left and side."""
        placed: Placed = []
        for nth in range(tiles):
            side = int(rng.integers(self.sides[0], self.sides[1] + 1))
            for _ in range(TRIES):
                top, left = (int(v) for v in rng.integers(self.size - side + 1, size=2))
                if all(
                    top + side <= y or y + s <= top or left + side <= x or x + s <= left
                    for y, x, s in placed
                ):
                    placed.append((top, left, side))
                    yield nth, placed[-1]
                    break


def resized(tiles: np.ndarray, side: int) -> np.ndarray:
    """Tiles uint8 [T, h, h] scaled bilinearly to [T, side, side].

    In integers, so that every machine has the same pixels.
    """
    weights = bilinear(tiles.shape[-1], side)
    total = weights @ tiles.astype(np.int64) @ weights.T
    return ((total + 2 * side * side) // (2 * side) ** 2).astype(np.uint8)


def bilinear(length: int, side: int) -> np.ndarray:
    """Weights int64 [side, length] of an axis, in units of 1 / (2 · side).

    As torch's interpolation without aligned corners: a pixel outside is the one at the border.
    """
    at = length * (2 * np.arange(side) + 1) - side  # source position, in those units
    below, part = np.divmod(at.clip(0), 2 * side)
    weights = np.zeros((side, length), np.int64)
    row = np.arange(side)
    np.add.at(weights, (row, below), 2 * side - part)
    np.add.at(weights, (row, (below + 1).clip(max=length - 1)), part)
    return weights


def extent(ink: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row and column, exclusive ends, of what is true in bool [h, w]."""
    rows, columns = np.nonzero(ink)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
