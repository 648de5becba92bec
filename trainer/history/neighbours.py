"""Nearest neighbours by cosine, and whether an example's label is that of its neighbours.

Zhu et al. 2022 (SimiFeat, https://arxiv.org/abs/2110.06283, sec. 3.2): the labels of the k nearest
neighbours vote, and a label with few votes is suspect.
"""

import numpy as np

K = 30  # neighbours that vote
AT_ONCE = 2**24  # similarities in memory at once
MOST = 50_000  # examples among which neighbours are sought


def normalised(features: np.ndarray) -> np.ndarray:
    """Features [n, d] less their mean, as float32 of length 1; zeros stay zeros."""
    centred = (features - features.mean(0)).astype(np.float32)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return centred / np.maximum(length, 1e-12)


def nearest(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Places [n, k] of the most similar other rows of features [n, d], and their cosines [n, k].

    In no order. Of more than 50,000 rows, neighbours are sought among as many, evenly spaced. With
    no more than k rows there are fewer neighbours.
    """
    points, number = normalised(features), len(features)
    pool = np.arange(number)
    if number > MOST:
        pool = np.linspace(0, number - 1, MOST).astype(np.int64)
    k = min(k, len(pool) - 1)
    if k < 1:
        return np.zeros((number, 0), np.int64), np.zeros((number, 0), np.float32)
    parts = [
        block_nearest(points, rows, pool, k)
        for rows in np.array_split(np.arange(number), 1 + number * len(pool) // AT_ONCE)
    ]
    places, cosines = zip(*parts, strict=True)
    return np.concatenate(places), np.concatenate(cosines)


def block_nearest(
    points: np.ndarray, rows: np.ndarray, pool: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same for some rows [b] of points [n, d], among the rows `pool` [m]."""
    cosines = points[rows] @ points[pool].T
    at = np.minimum(np.searchsorted(pool, rows), len(pool) - 1)
    itself = np.flatnonzero(pool[at] == rows)
    cosines[itself, at[itself]] = -np.inf
    best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    return pool[best], np.take_along_axis(cosines, best, axis=1)


def vote_margin(features: np.ndarray, labels: np.ndarray, k: int = K) -> np.ndarray:
    """The share [n] of the k nearest neighbours' votes for the label, less the most for another.

    `labels` [n] are classes. A vote counts by the neighbour's cosine. NaN without a neighbour.
    """
    places, cosines = nearest(features, k)
    weights = np.maximum(cosines, 1e-6).astype(np.float64)
    classes = int(labels.max(initial=0)) + 1
    parts = np.array_split(np.arange(len(labels)), 1 + len(labels) * classes // AT_ONCE)
    with np.errstate(invalid="ignore"):  # 0 / 0 without neighbours
        return np.concatenate(
            [margin_of(labels[places[p]], weights[p], labels[p], classes) for p in parts]
        )


def margin_of(
    voted: np.ndarray, weights: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """The same by the classes voted for [b, k] with weights [b, k], and labels [b]."""
    at = np.arange(len(labels))
    cells = at[:, None] * classes + voted
    votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * classes)
    votes = votes.reshape(len(labels), classes) / weights.sum(1, keepdims=True)
    own = votes[at, labels]
    votes[at, labels] = 0
    return own - votes.max(1, initial=0)
