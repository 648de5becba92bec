"""Deliberate degradations of a training split: imbalance, fewer examples, wrong labels.

Pure functions of the split, the settings and the seed. Dataset ids do not change, nor do the
labels of examples outside the split.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.seed import Purpose, generator
from trainer.core.text import count, enumerated
from trainer.dataset.shared.instance_noise import doubts
from trainer.dataset.shared.split import Split, divide

Tail = Literal["exponential", "step"]
Noise = Literal["symmetric", "pairwise", "instance"]
IMBALANCE, SUBSET, NOISE, THRESHOLD = range(4)  # random streams, one per degradation
TINY = 1e-9  # 5000 · 100^(−1) is 49.999... in floating point


def imbalance(split: Split, classes: int, factor: float, tail: Tail, seed: int) -> Split:
    """Draw from each class at random the number of examples that `tail_counts` allows.

    With the same seed, a larger factor keeps a subset of the examples of a smaller one.
    """
    labels = split.labels[split.ids].numpy()
    counts = np.bincount(labels, minlength=classes)
    order = generator(seed, Purpose.DEGRADE, IMBALANCE).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[labels[order]]
    keep = order[place < tail_counts(counts, factor, tail)[labels[order]]]
    return replace(split, ids=split.ids[torch.from_numpy(np.sort(keep))])


def tail_counts(counts: np.ndarray, factor: float, tail: Tail) -> np.ndarray:
    """Examples to keep of each class [C], at most counts [C]; largest over smallest is `factor`.

    `exponential`: n_c = n · factor^(−c / (C − 1)), c the class id (Cui et al. 2019,
    https://arxiv.org/abs/1901.05555, sec. 5). `step`: the last half of the classes keep n / factor
    (Buda et al. 2018, https://arxiv.org/abs/1710.05381). n is as large as the class counts allow.
    Counts are rounded down, as in the published long-tailed CIFAR.
    """
    number = len(counts)
    if tail == "exponential":
        exponent = np.arange(number) / max(number - 1, 1)
    else:
        exponent = (np.arange(number) >= number - number // 2).astype(float)
    share = float(factor) ** -exponent
    return np.floor((counts / share).min() * share + TINY).astype(np.int64)


def subset(split: Split, size: float, seed: int) -> Split:
    """A stratified subset: `size` is a fraction below 1, or a number of examples.

    Raises DataError for more examples than the split has.
    """
    if size > len(split):
        raise DataError(
            f"dataset.subset={size}: the training split has {count(len(split), 'example')}"
        )
    fraction = size if size < 1 else size / len(split)
    alone = replace(split, groups=None)  # parts of groups: all of it is training data
    part, _ = divide(alone, fraction, generator(seed, Purpose.DEGRADE, SUBSET))
    return replace(split, ids=part.ids)


def label_noise(split: Split, classes: int, rate: float, noise: Noise, seed: int) -> Split:
    """Replace a fraction `rate` of the labels, rounded to whole examples, by wrong ones.

    `symmetric`: one of the other C − 1 classes, uniformly. `pairwise`: c becomes c + 1, and the
    last class becomes the first. `instance`: the class that a weak model takes the image for, with
    a probability that grows with its doubt; see trainer.dataset.shared.instance_noise.
    """
    rng = generator(seed, Purpose.DEGRADE, NOISE)
    number = int(rate * len(split) + 0.5)
    if noise == "instance":
        return mistaken(split, classes, number, rng)
    wrong = split.ids[torch.from_numpy(rng.permutation(len(split))[:number])]
    step = rng.integers(1, classes, number) if noise == "symmetric" else np.ones(number, np.int64)
    return relabelled(split, wrong, (split.labels[wrong] + torch.from_numpy(step)) % classes)


def mistaken(split: Split, classes: int, number: int, rng: np.random.Generator) -> Split:
    """Give `number` examples the class that a weak model takes them for, the doubtful rather.

    They are drawn without replacement with weights √odds (Efraimidis and Spirakis 2006,
    https://doi.org/10.1016/j.ipl.2005.11.003): of two images, the one with four times the odds
    against its label is drawn twice as often, at a low rate.
    """
    if not number:
        return relabelled(split, split.ids[:0], split.labels[:0])
    other, odds = doubts(split, classes, rng)
    drawn = np.argsort(rng.exponential(size=len(odds)) / np.sqrt(odds), kind="stable")[:number]
    return relabelled(split, split.ids[drawn], torch.from_numpy(other[drawn]))


def threshold_class(split: Split, classes: int, seed: int) -> Split:
    """Relabel n / (C + 1) random examples as an extra class C.

    The class has nothing to learn, so its margins are a reference for those of mislabelled
    examples (Pleiss et al. 2020, https://arxiv.org/abs/2001.10528, sec. 3.2). Raises DataError for
    a split that is too small.
    """
    number = len(split) // (classes + 1)
    if not number:
        raise DataError(
            f"dataset.threshold_class needs more than {classes} training examples, got {len(split)}"
        )
    order = generator(seed, Purpose.DEGRADE, THRESHOLD).permutation(len(split))
    picked = split.ids[torch.from_numpy(order[:number])]
    return relabelled(split, picked, torch.full((number,), classes))


def relabelled(split: Split, ids: Tensor, labels: Tensor) -> Split:
    """Replace the labels of the examples ids [r] by labels [r]; `truth` keeps those before."""
    changed = split.labels.index_copy(0, ids, labels.to(split.labels.dtype))
    return replace(
        split, labels=changed, truth=split.labels if split.truth is None else split.truth
    )


def check_not_emptied(split: Split, before: Split, classes: tuple[str, ...], setting: str) -> Split:
    """Return the split. Raises DataError if it, or a class in the split `before`, is now empty."""
    if not len(split):
        raise DataError(f"dataset.{setting} leaves no training examples")
    if split.classed:
        now, then = (s.labels[s.ids].unique().tolist() for s in (split, before))
        lost = sorted(set(then) - set(now))
        if lost:
            names = enumerated(classes[c] for c in lost)
            raise DataError(f"dataset.{setting} leaves no training examples of class {names}")
    return split
