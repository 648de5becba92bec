"""Boxes as labels: float32 [M, N, 5], rows of class, x0, y0, x1, y1 in pixels of the stored image.

Class c from 1 is `classes[c - 1]`. Class 0 is padding. Class −c is a region with a crowd of class
c, which counts nothing in training and as COCO's crowd (`iscrowd`) in evaluation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MIN_VISIBLE = 0.3  # part of a box that must be left in the image; with less it counts nothing


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Boxes [M, N, 5] from those of each image [n, 5]; N is the largest n, and at least 1."""
    out = torch.zeros(len(rows), max((len(row) for row in rows), default=0) or 1, 5)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out


def scattered(row: np.ndarray, boxes: np.ndarray, images: int) -> Tensor:
    """Boxes [M, N, 5] of `images` from boxes [n, 5], in order of the image `row` [n] of each."""
    counts = np.bincount(row, minlength=images)
    place = np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
    out = torch.zeros(images, max(counts.max(initial=0), 1), 5)
    out[torch.from_numpy(row), torch.from_numpy(place)] = torch.from_numpy(boxes).float()
    return out


def cut(edges: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Edges [n, 4] moved into rectangles from `least` to `most`, x and y, each [n, 2]."""
    return np.clip(edges, np.tile(least, 2), np.tile(most, 2))


def areas(edges: np.ndarray) -> np.ndarray:
    """The areas [n] of edges [n, 4]; 0 where they are in the wrong order."""
    return (edges[:, 2:] - edges[:, :2]).clip(0).prod(1)


def faults(boxes: Tensor, classes: int, size: tuple[int, int]) -> Tensor:
    """Which images have a box that none can be, bool [n], of boxes [n, N, 5].

    One that is not finite, of no class, without an area, or beyond the border of images of height
    and width `size`.
    """
    kind, edges = boxes[..., 0], boxes[..., 1:]
    height, width = size
    known = (kind == kind.round()) & (kind.abs() <= classes)
    most = torch.tensor([width, height, width, height])
    inside = ((edges >= 0) & (edges <= most)).all(-1)
    area = (edges[..., 2:] > edges[..., :2]).all(-1)
    good = known & (inside & area | (kind == 0)) & boxes.isfinite().all(-1)
    return ~good.all(1)


def per_class(boxes: Tensor, classes: int) -> Tensor:
    """The number of boxes of each class [classes] in boxes [n, N, 5]; crowds do not count."""
    kind = boxes[..., 0].flatten().long()
    return kind[kind > 0].bincount(minlength=classes + 1)[1:]


def renamed(boxes: Tensor, places: Tensor) -> Tensor:
    """Boxes [M, N, 5] whose class c has become places[c - 1] + 1; those of crowds too."""
    kind = boxes[..., :1]
    at = (kind.abs().long() - 1).clamp(min=0)
    return torch.cat([kind.sign() * (places[at] + 1), boxes[..., 1:]], -1)
