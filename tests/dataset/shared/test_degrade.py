"""Degradations: class counts by hand, exact numbers of flips, training split only."""

from typing import Any

import numpy as np
import pytest
import torch

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data, Dataset, Raw, Split
from trainer.dataset.base import Pixels
from trainer.dataset.digits import Digits
from trainer.dataset.shared.degrade import (
    imbalance,
    label_noise,
    subset,
    tail_counts,
    threshold_class,
)


def labelled(*counts: int, order: int = 0) -> Split:
    """A shuffled split with `counts` examples per class; its ids are the even rows."""
    labels = np.random.default_rng(order).permutation(np.repeat(np.arange(len(counts)), counts))
    labels = torch.from_numpy(labels.repeat(2))
    pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return Split(Pixels(pixels), labels, torch.arange(0, len(labels), 2))


def counts(split: Split, classes: int) -> list[int]:
    return split.labels[split.ids].bincount(minlength=classes).tolist()


def flips(split: Split, before: Split) -> torch.Tensor:
    """Rows whose label changed."""
    return (split.labels != before.labels).nonzero()[:, 0]


def test_exponential_tail_against_the_published_long_tailed_cifar() -> None:
    """CIFAR-10-LT with factor 100 has 12,406 images, 5000 of class 0 and 50 of class 9."""
    numbers = tail_counts(np.full(10, 5000), 100, "exponential")
    assert numbers.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert numbers.sum() == 12_406


def test_tails_by_hand() -> None:
    assert tail_counts(np.array([90, 90, 90]), 9, "exponential").tolist() == [90, 30, 10]
    assert tail_counts(np.array([90, 90, 90]), 9, "step").tolist() == [90, 90, 10]
    assert tail_counts(np.array([60, 60, 60, 60]), 4, "step").tolist() == [60, 60, 15, 15]


def test_a_tail_fits_the_class_counts_and_keeps_the_factor() -> None:
    """The second of three classes has 20 examples: n · 4^(−1/2) ≤ 20, so n = 40."""
    assert tail_counts(np.array([100, 20, 30]), 4, "exponential").tolist() == [40, 20, 10]
    assert tail_counts(np.array([100, 20, 30]), 1, "step").tolist() == [20, 20, 20]


@pytest.mark.parametrize("tail", ["exponential", "step"])
def test_imbalance_keeps_a_nested_part_of_each_class(tail: Any) -> None:
    split = labelled(40, 40, 40)
    degraded = imbalance(split, 3, 4, tail, seed=3)
    assert counts(degraded, 3) == ([40, 20, 10] if tail == "exponential" else [40, 40, 10])
    assert torch.equal(degraded.ids, degraded.ids.sort().values)
    assert set(degraded.ids.tolist()) <= set(split.ids.tolist())
    assert degraded.labels is split.labels
    more = imbalance(split, 3, 8, tail, seed=3)
    assert set(more.ids.tolist()) < set(degraded.ids.tolist())


def test_a_subset_is_stratified_and_of_the_exact_size() -> None:
    split = labelled(60, 30, 10)
    assert counts(subset(split, 0.1, 0), 3) == [6, 3, 1]
    assert counts(subset(split, 50, 0), 3) == [30, 15, 5]
    assert [len(subset(split, n, 0)) for n in (1, 7, 33, 100)] == [1, 7, 33, 100]
    with pytest.raises(DataError, match=r"dataset\.subset=101: the training split has 100"):
        subset(split, 101, 0)


@pytest.mark.parametrize(("rate", "wrong"), [(0.2, 24), (0.5, 60), (0.001, 0), (0.99, 119)])
@pytest.mark.parametrize("noise", ["symmetric", "pairwise"])
def test_noise_changes_exactly_its_share_of_labels(noise: Any, rate: float, wrong: int) -> None:
    """120 labels; 0.99 · 120 = 118.8."""
    split = labelled(50, 40, 30)
    degraded = label_noise(split, 3, rate, noise, seed=1)
    changed = flips(degraded, split)
    assert len(changed) == wrong
    assert set(changed.tolist()) <= set(split.ids.tolist())
    assert torch.equal(degraded.ids, split.ids)
    assert set(degraded.labels.tolist()) <= {0, 1, 2}
    if noise == "pairwise":
        assert torch.equal(degraded.labels[changed], (split.labels[changed] + 1) % 3)


def test_symmetric_noise_spreads_over_the_other_classes() -> None:
    """3000 flips, 1500 from each class to each of 2 others: 500 expected, deviation 22."""
    split = labelled(2000, 2000, 2000)
    degraded = label_noise(split, 3, 0.5, "symmetric", seed=0)
    changed = flips(degraded, split)
    moves = (split.labels[changed] * 3 + degraded.labels[changed]).bincount(minlength=9).view(3, 3)
    assert moves.diagonal().tolist() == [0, 0, 0]
    off = moves[~torch.eye(3, dtype=torch.bool)]
    assert off.min() > 400
    assert off.max() < 600


def test_the_threshold_class_is_as_large_as_a_balanced_class() -> None:
    """100 examples of 3 classes: 100 / 4 of them become class 3, from all classes."""
    split = labelled(40, 40, 20)
    degraded = threshold_class(split, 3, seed=0)
    changed = flips(degraded, split)
    assert len(changed) == 25
    assert degraded.labels[changed].unique().tolist() == [3]
    assert split.labels[changed].unique().tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"dataset\.threshold_class needs more than 3 .*, got 3"):
        threshold_class(labelled(1, 1, 1), 3, seed=0)


DEGRADATIONS: dict[str, dict[str, Any]] = {
    "subset": {"subset": 300},
    "imbalance": {"imbalance": 10.0},
    "label_noise": {"label_noise": 0.3},
    "threshold_class": {"threshold_class": True},
    "all": {"subset": 0.5, "imbalance": 5, "label_noise": 0.2, "threshold_class": True},
}


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_only_the_training_split_changes_and_only_with_the_seed(name: str) -> None:
    plain, data, dataset = (
        Digits().open(1),
        Digits(**DEGRADATIONS[name]).open(1),
        Digits(**DEGRADATIONS[name]),
    )
    for split in ("val", "test"):
        before, after = getattr(plain, split), getattr(data, split)
        assert torch.equal(before.ids, after.ids)
        assert torch.equal(before.labels, after.labels)
    for other, same in ((dataset.open(1), True), (dataset.open(2), False)):
        pair = [d.train.ids * 11 + d.train.labels[d.train.ids] for d in (data, other)]
        assert torch.equal(*pair) == same
    outside = torch.ones(1797, dtype=torch.bool).index_fill(0, data.train.ids, False)
    assert torch.equal(data.train.labels[outside], plain.train.labels[outside])
    assert set(data.train.ids.tolist()) <= set(plain.train.ids.tolist())


def test_the_true_labels_are_kept() -> None:
    plain, data = Digits().open(0), Digits(label_noise=0.2).open(0)
    assert plain.true_labels is None
    assert data.true_labels is not None
    assert torch.equal(data.true_labels, plain.train.labels)
    wrong = data.train.labels != data.true_labels
    assert int(wrong.sum()) == 259  # 0.2 · 1294 = 258.8
    assert set(data.described()) == {"ids", "labels", "true_labels"}
    assert set(plain.described()) == {"ids", "labels"}


def test_a_subset_alone_has_no_true_labels() -> None:
    assert Digits(subset=100).open(0).true_labels is None


def test_degradations_compose_in_order() -> None:
    """First imbalance, then a subset of exact size with the same proportions."""
    tailed = Digits(imbalance=10.0).open(0)
    data = Digits(imbalance=10.0, subset=200).open(0)
    assert len(data.train) == 200
    assert set(data.train.ids.tolist()) <= set(tailed.train.ids.tolist())
    share = tailed.class_counts() * (200 / len(tailed.train))
    assert (data.class_counts() - share).abs().max() <= 1
    noisy = Digits(imbalance=10.0, subset=200, label_noise=0.1).open(0)
    assert torch.equal(noisy.train.ids, data.train.ids)
    assert int((noisy.train.labels != data.train.labels).sum()) == 20


def test_the_threshold_class_is_a_class_of_the_data() -> None:
    data = Digits(threshold_class=True).open(0)
    assert data.classes == (*"0123456789", "threshold")
    assert data.threshold == 10
    assert data.class_counts()[10] == 1294 // 11
    ids = data.described()["threshold"]
    assert len(ids) == 1294 // 11
    assert set(data.train.labels[ids].tolist()) == {10}
    assert data.true_labels is not None
    assert data.true_labels.max() == 9
    for split in (data.val, data.test):
        assert split.labels.max() == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset": 0.0}, "dataset.subset as a fraction"),
        ({"subset": 1.5}, "dataset.subset as a fraction"),
        ({"subset": 0}, "dataset.subset"),
        ({"subset": -3}, "dataset.subset"),
        ({"imbalance": 0.5}, "dataset.imbalance"),
        ({"imbalance": float("nan")}, "dataset.imbalance"),
        ({"label_noise": 1.0}, "dataset.label_noise"),
        ({"label_noise": -0.1}, "dataset.label_noise"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imbalance": 1000.0}, r"dataset\.imbalance=1000\.0 leaves no .* of class 7, 8, 9"),
        ({"subset": 5}, r"dataset\.subset=5 leaves no training examples of class"),
        ({"subset": 0.0001}, r"dataset\.subset=0\.0001 leaves no training examples"),
        ({"subset": 5000}, r"dataset\.subset=5000: the training split has 1294"),
    ],
)
def test_a_degradation_that_empties_a_class_is_an_error(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Digits(**settings).open(0)


class Given(Dataset):
    """A data set with the splits of `raw`."""

    raw: Raw

    def load(self) -> Raw:
        return self.raw


def opened(split: Split, classes: tuple[str, ...], **settings: Any) -> Data:
    dataset = Given(val_fraction=0.0, **settings)
    dataset.raw = Raw(split, split, classes)
    return dataset.open(0)


def test_label_noise_that_empties_a_class_is_reported() -> None:
    """The only example of a becomes b, and no example of c can become a."""
    with pytest.raises(
        DataError, match=r"label_noise=0\.99 leaves no training examples of class a$"
    ):
        opened(labelled(1, 50, 0), ("a", "b", "c"), label_noise=0.99, noise_type="pairwise")


@pytest.mark.parametrize("labels", [torch.rand(20), torch.zeros(20, 4, 4, dtype=torch.int64)])
def test_without_classes_only_subset_is_allowed(labels: torch.Tensor) -> None:
    split = Split(Pixels(torch.zeros(20, 1, 1, 1, dtype=torch.uint8)), labels, torch.arange(20))
    assert len(opened(split, (), subset=0.25).train) == 5
    for settings in ({"imbalance": 2.0}, {"label_noise": 0.1}, {"threshold_class": True}):
        with pytest.raises(ConfigError, match=f"dataset.{next(iter(settings))}=.* needs a class"):
            opened(split, (), **settings)
