"""Twists of a training split: fewer examples, fewer of some classes, wrong labels.

Pure functions of the split, their settings and the seed. Dataset ids stay what they were, and
labels of examples outside the split are not touched.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.seed import Purpose, generator
from trainer.dataset.shared.split import Split, divide

Tail = Literal["exponential", "step"]
Noise = Literal["symmetric", "pairwise"]
IMBALANCE, SUBSET, NOISE, THRESHOLD = range(4)  # each twist's stream of random numbers
TINY = 1e-9  # 5000 · 100^(−1) is 49.999... in floating point


def imbalance(split: Split, classes: int, factor: float, kind: Tail, seed: int) -> Split:
    """The split with as many of each class as the profile of `tail` allows, drawn at random.

    A larger factor keeps a part of what a smaller one keeps.
    """
    labels = split.labels[split.ids].numpy()
    counts = np.bincount(labels, minlength=classes)
    order = generator(seed, Purpose.DEGRADE, IMBALANCE).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[labels[order]]
    keep = order[place < tail(counts, factor, kind)[labels[order]]]
    return replace(split, ids=split.ids[torch.from_numpy(np.sort(keep))])


def tail(counts: np.ndarray, factor: float, kind: Tail) -> np.ndarray:
    """Examples [C] of each class, at most counts [C]; the largest class is `factor` × the last.

    `exponential`: n_c = n · factor^(−c / (C − 1)), c the class's number (Cui et al. 2019,
    https://arxiv.org/abs/1901.05555, sec. 5). `step`: the last half of the classes have n / factor
    (Buda et al. 2018, https://arxiv.org/abs/1710.05381). n is the largest number that every class
    has examples enough for. Rounded down, as the published long-tailed CIFAR is.
    """
    number = len(counts)
    if kind == "exponential":
        exponent = np.arange(number) / max(number - 1, 1)
    else:
        exponent = (np.arange(number) >= number - number // 2).astype(float)
    share = float(factor) ** -exponent
    return np.floor((counts / share).min() * share + TINY).astype(np.int64)


def subset(split: Split, size: float, seed: int) -> Split:
    """A stratified part: a fraction below 1, or a number of examples."""
    if size > len(split):
        raise DataError(f"dataset.subset={size}: the training split has {len(split)} examples")
    fraction = size if size < 1 else size / len(split)
    return divide(split, fraction, generator(seed, Purpose.DEGRADE, SUBSET))[0]


def label_noise(split: Split, classes: int, rate: float, kind: Noise, seed: int) -> Split:
    """The split with a rounded `rate` of its labels wrong.

    `symmetric`: one of the other C − 1 classes, each as likely. `pairwise`: c becomes c + 1, the
    last class the first.
    """
    rng = generator(seed, Purpose.DEGRADE, NOISE)
    number = int(rate * len(split) + 0.5)
    wrong = split.ids[torch.from_numpy(rng.permutation(len(split))[:number])]
    step = rng.integers(1, classes, number) if kind == "symmetric" else np.ones(number, np.int64)
    return relabelled(split, wrong, (split.labels[wrong] + torch.from_numpy(step)) % classes)


def threshold_class(split: Split, classes: int, seed: int) -> Split:
    """The split with n / (C + 1) examples, at random, as a class C of their own.

    No model can learn what they have in common, so their margins show what a wrong label looks
    like (Pleiss et al. 2020, https://arxiv.org/abs/2001.10528, sec. 3.2).
    """
    number = len(split) // (classes + 1)
    if not number:
        raise DataError(f"dataset.threshold_class needs more than {classes} training examples")
    order = generator(seed, Purpose.DEGRADE, THRESHOLD).permutation(len(split))
    chosen = split.ids[torch.from_numpy(order[:number])]
    return relabelled(split, chosen, torch.full((number,), classes))


def relabelled(split: Split, ids: Tensor, labels: Tensor) -> Split:
    """The split with other labels [r] for the examples ids [r]."""
    return replace(split, labels=split.labels.index_copy(0, ids, labels.to(split.labels.dtype)))
