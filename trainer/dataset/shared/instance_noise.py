"""Wrong labels as a weak model would give them: they depend on what the image shows.

Human errors fall on images that look like another class. Xia et al. 2020 (sec. 4.1 and algorithm 2,
https://arxiv.org/abs/2006.07836) draw a projection of the pixels at random for each class and flip
the label to a class by it. Here the model is fitted to the true labels instead: a linear classifier
on random patches of the images (Coates et al. 2011, http://proceedings.mlr.press/v15/coates11a),
which takes cats for dogs, as people do, and is about as good as a network after an epoch. Each half
of the split is judged by the model of the other half, so that no image is judged by its own label.

Images are shrunk to 16 × 16 at most and the arithmetic is on integers, which floats hold exactly:
sums do not depend on their order, and so the labels not on threads or device.
"""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.dataset.shared.parallel import available_cores, in_chunks
from trainer.dataset.shared.split import Images, Split

SIDE = 16  # of the thumbnails
PATCH, STRIDE, FILTERS = 4, 2, 24
LEVELS = 31  # filters are integers from −31 to 31: 48 · 255 · 31 is far below 2²⁴
FITTED = 5000  # examples that a model is fitted to, at most
AT_ONCE = 500  # images in memory at once
RIDGE = 1e-4  # of the mean square of the features
SHARPNESS = 2.0 ** np.arange(-1, 7, 0.25)  # tried for the softmax of the scores


def doubts(split: Split, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each example's most likely other class [n], and the odds [n] of it against the label."""
    images, labels = thumbnails(split), split.labels[split.ids].numpy()
    filters = random_patches(images, rng)
    halves = np.array_split(rng.permutation(len(labels)), 2)
    scores = np.empty((len(labels), classes))
    for judged, others in (halves, halves[::-1]):
        model = Ridge(
            images, filters, (others if len(others) else judged)[:FITTED], labels, classes
        )
        for rows in torch.from_numpy(judged).split(AT_ONCE):
            scores[rows.numpy()] = model.scores(images[rows])
    log_p = log_softmax(scores * sharpness(scores, labels))
    at = np.arange(len(labels))
    log_y = log_p[at, labels]
    log_p[at, labels] = -np.inf
    other = log_p.argmax(1)
    return other, np.exp(log_p[at, other] - log_y)


def thumbnails(split: Split) -> Tensor:
    """The images of a split as uint8 [n, C, h, w], 16 × 16 at most, each pixel a mean of theirs."""
    images, ids = split.images, split.ids.tolist()
    channels, height, width = images.shape
    shape = (len(ids), channels, min(height, SIDE), min(width, SIDE))
    get_or_make = getattr(images, "get_or_make", None)
    if get_or_make is None:
        return shrink_all(images, ids, shape, workers=0)
    what = f"thumbnails {hashlib.sha256(split.ids.numpy().tobytes()).hexdigest()}"
    return get_or_make(what, shape, lambda: shrink_all(images, ids, shape, available_cores()))


def shrink_all(
    images: Images, ids: list[int], shape: tuple[int, int, int, int], workers: int
) -> Tensor:
    """Read and shrink the images `ids`: uint8 of `shape`."""

    def shrink(rows: range) -> Tensor:
        pixels = images.read(ids[rows.start : rows.stop])
        return F.adaptive_avg_pool2d(pixels.float(), (shape[2], shape[3])).round().byte()

    small = torch.empty(shape, dtype=torch.uint8)
    for rows, part in in_chunks(shrink, len(ids), AT_ONCE, workers):
        small[rows.start : rows.stop] = part
    return small


def random_patches(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Filters [K, C, 4, 4] of integers: patches of random images less their mean, scaled."""
    number, channels, height, width = images.shape
    rows, columns = min(PATCH, height), min(PATCH, width)
    filters = torch.empty(FILTERS, channels, rows, columns)
    for patch in filters:
        i, y, x = (
            int(rng.integers(top)) for top in (number, height - rows + 1, width - columns + 1)
        )
        pixels = images[i, :, y : y + rows, x : x + columns].float()
        pixels -= pixels.mean((1, 2), keepdim=True)
        patch.copy_(pixels * (LEVELS / pixels.abs().max().clamp(min=1e-3)))
    return filters.round()


def responses(images: Tensor, filters: Tensor) -> Tensor:
    """How much of each filter, and of its negative, each quadrant of the images has: [n, 8 K].

    With an odd number of places, quadrants share the middle.
    """
    maps = F.conv2d(images.float(), filters, stride=STRIDE)
    both = torch.cat([maps.relu(), (-maps).relu()], 1).double()
    height, width = both.shape[2:]
    top, left = (height + 1) // 2, (width + 1) // 2
    parts = [
        both[:, :, y, x].sum((2, 3))
        for y in (slice(top), slice(height - top, None))
        for x in (slice(left), slice(width - left, None))
    ]
    return torch.cat(parts, 1)


class Ridge:
    """Least squares to one-hot labels: scores estimate the probability of each class."""

    def __init__(
        self, images: Tensor, filters: Tensor, rows: np.ndarray, labels: np.ndarray, classes: int
    ) -> None:
        self.filters = filters
        parts = torch.from_numpy(rows).split(AT_ONCE)
        raw = torch.cat([responses(images[part], filters) for part in parts])
        self.scale = raw.amax(0).clamp(min=1)
        features = self.features(raw)
        targets = np.eye(classes)[labels[rows]]
        gram = features.T @ features
        ridge = RIDGE * np.trace(gram) / len(gram)
        self.weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), features.T @ targets)

    def features(self, raw: Tensor) -> np.ndarray:
        """Integers [n, F] from 0 to 255, and a constant."""
        levels = (raw * 255).div(self.scale, rounding_mode="floor").clamp(max=255)
        return np.concatenate([levels.numpy(), np.full((len(raw), 1), 255.0)], 1)

    def scores(self, images: Tensor) -> np.ndarray:
        """The score [n, C] of each class for uint8 images [n, ...]."""
        return self.features(responses(images, self.filters)) @ self.weights


def sharpness(scores: np.ndarray, labels: np.ndarray) -> float:
    """The factor of the scores [n, C] that gives the labels [n] the highest likelihood."""
    at = np.arange(len(labels))
    losses = [-log_softmax(scores * factor)[at, labels].mean() for factor in SHARPNESS]
    return float(SHARPNESS[np.argmin(losses)])


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """The logarithms of probabilities proportional to exp(scores), [n, C]."""
    shifted = scores - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
