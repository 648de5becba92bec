"""Exact and near copies among images.

Copies in train and test make a test accuracy too high (Barz and Denzler 2020,
https://arxiv.org/abs/1902.00423: 3.3 % of CIFAR-10's test images have one in train). As there,
candidates are neighbours in a model's features; here their pixels decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.history.neighbours import nearest

NEIGHBOURS = 8  # candidates of each image
AT_ONCE = 10_000  # pairs in memory at once
FARTHEST = 0.05  # distance of near copies: 1 − the correlation of their thumbnails
SHARE = 0.15  # of the median distance of the candidates of either: digits are all alike


@dataclass(frozen=True)
class Copies:
    """Pairs of images by place, the first before the second."""

    first: np.ndarray  # [m]
    second: np.ndarray  # [m]
    correlation: np.ndarray  # [m] of their thumbnails; 1 for exact copies
    exact: np.ndarray  # [m] bool


def copies(digests: Sequence[bytes], thumbnails: np.ndarray, features: np.ndarray) -> Copies:
    """Find the copies among n images, by digests of pixels, thumbnails [n, t] and features [n, d].

    An image is paired with the first that has the same pixels. Of images with the same pixels, the
    first alone is compared with others.
    """
    same, unique = identical(digests)
    pairs, correlation = near(thumbnails[unique], features[unique])
    first, second = (np.concatenate([a, unique[b]]) for a, b in zip(same, pairs, strict=True))
    exact = np.arange(len(first)) < len(same[0])
    ones = np.ones(len(same[0]))
    return Copies(first, second, np.concatenate([ones, correlation]), exact)


def identical(digests: Sequence[bytes]) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pairs [m], [m] of the first image with its pixels and a later one; and the first ones [u]."""
    seen: dict[bytes, int] = {}
    first = np.array([seen.setdefault(d, i) for i, d in enumerate(digests)], np.int64)
    later = np.flatnonzero(first != np.arange(len(first)))
    return (first[later], later), np.array(list(seen.values()), np.int64)


def near(
    thumbnails: np.ndarray, features: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pairs [m], [m] of n images that look alike, and their correlation [m], the highest first.

    They are much closer to each other than either is to most of its candidates.
    """
    places, _ = nearest(features, NEIGHBOURS)
    if not places.size:
        return (places.ravel(), places.ravel()), np.empty(0)
    rows = np.repeat(np.arange(len(places)), places.shape[1])
    distances = 1 - correlations(thumbnails, np.stack([rows, places.ravel()], 1))
    usual = np.median(distances.reshape(places.shape), axis=1)
    limits = np.minimum(FARTHEST, SHARE * np.minimum(usual[rows], usual[places.ravel()]))
    alike = np.flatnonzero(distances <= limits)
    pairs = np.sort(np.stack([rows, places.ravel()], 1)[alike], axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    order = np.argsort(distances[alike][first], kind="stable")
    return (pairs[order, 0], pairs[order, 1]), 1 - distances[alike][first][order]


def correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The correlation [m] of the thumbnails [n, t] of pairs [m, 2]; 0 if one is flat."""
    parts = np.array_split(pairs, 1 + len(pairs) // AT_ONCE)
    return np.concatenate(
        [
            (standard(thumbnails[a]) * standard(thumbnails[b])).sum(1)
            for a, b in (p.T for p in parts)
        ]
    )


def standard(thumbnails: np.ndarray) -> np.ndarray:
    """Thumbnails [n, t] as float32 with mean 0 and length 1; flat ones are 0."""
    values = thumbnails.astype(np.float32)
    values -= values.mean(1, keepdims=True)
    return values / np.maximum(np.sqrt((values**2).sum(1, keepdims=True)), 1e-3)
