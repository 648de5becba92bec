"""Splits, targets and channel statistics."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit

from trainer.core.errors import DataError
from trainer.dataset import Data, Dataset, Raw, Split
from trainer.dataset.base import Pixels, channel_statistics, divide


def labelled(labels: list[int]) -> Split:
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None]
    return Split(Pixels(pixels), torch.tensor(labels), torch.arange(len(labels)))


def counts(split: Split, classes: int) -> list[int]:
    return split.labels[split.ids].bincount(minlength=classes).tolist()


def test_divide_by_hand() -> None:
    """A quarter of 8 zeros and 4 ones is two zeros and a one, in ascending order of id."""
    part, rest = divide(labelled([0, 0, 1] * 4), 0.25, np.random.default_rng(0))
    assert counts(part, 2) == [2, 1]
    assert counts(rest, 2) == [6, 3]
    assert part.ids.tolist() == sorted(part.ids.tolist())
    assert rest.ids.tolist() == sorted(rest.ids.tolist())
    assert sorted([*part.ids.tolist(), *rest.ids.tolist()]) == list(range(12))


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.3, 0.5, 0.7, 0.95])
def test_divide_is_as_stratified_as_scikit_learn(fraction: float) -> None:
    labels = np.repeat(np.arange(7), [3, 10, 31, 55, 100, 200, 401])
    part, _ = divide(labelled(labels.tolist()), fraction, np.random.default_rng(1))
    size = int(len(labels) * fraction + 0.5)
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=0)
    _, chosen = next(splitter.split(labels, labels))
    assert len(part) == size
    difference = np.array(counts(part, 7)) - np.bincount(labels[chosen], minlength=7)
    assert abs(difference).max() <= 1
    assert np.abs(np.array(counts(part, 7)) - fraction * np.bincount(labels)).max() <= 1


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 0.3, 1 / 3, 0.45])
def test_dividing_by_the_remaining_fraction_gives_the_complement(fraction: float) -> None:
    """Ties such as 30 · 0.05 are rounded alike."""
    split = labelled([i % 3 for i in range(400)])
    part, rest = divide(split, fraction, np.random.default_rng(2))
    other, left = divide(split, 1 - fraction, np.random.default_rng(2))
    assert torch.equal(part.ids, left.ids)
    assert torch.equal(rest.ids, other.ids)


def test_divide_draws_every_example_equally_often() -> None:
    split = labelled([0] * 6 + [1] * 4)
    taken = np.zeros(10)
    for seed in range(400):
        part, _ = divide(split, 0.5, np.random.default_rng(seed))
        taken[part.ids] += 1
    assert taken.min() > 160  # 200 expected, deviation 10
    assert taken.max() < 240


def test_dividing_a_split_keeps_dataset_ids() -> None:
    split = replace(labelled(list(range(20))), ids=torch.arange(10, 20))
    part, rest = divide(split, 0.5, np.random.default_rng(0))
    assert sorted([*part.ids.tolist(), *rest.ids.tolist()]) == list(range(10, 20))
    assert part.images is split.images


@pytest.mark.parametrize(
    "labels", [torch.rand(10), torch.rand(10, 2), torch.zeros(10, 4, 4, dtype=torch.int64)]
)
def test_vectors_and_masks_are_divided_without_strata(labels: torch.Tensor) -> None:
    part, rest = divide(replace(labelled([0] * 10), labels=labels), 0.3, np.random.default_rng(0))
    assert (len(part), len(rest)) == (3, 7)


def test_dividing_by_zero_takes_nothing() -> None:
    part, rest = divide(labelled([0, 1, 2]), 0.0, np.random.default_rng(0))
    assert (len(part), len(rest)) == (0, 3)


def test_channel_statistics_by_hand() -> None:
    """Half 0 and half 255: mean ½, deviation ½; a constant channel has the smallest deviation."""
    pixels = torch.zeros(4, 2, 1, 2, dtype=torch.uint8)
    pixels[:2, 0] = 255
    pixels[:, 1] = 51
    split = Split(Pixels(pixels), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    mean, std = channel_statistics(split)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1e-3))


def test_channel_statistics_equal_torch(noise: Callable[..., Split]) -> None:
    """In several chunks, over the rows of the split only."""
    split = noise(130, (3, 6, 5))
    split = replace(split, ids=torch.arange(0, 130, 2)[:61])
    std, mean = torch.std_mean(
        split.images.read(split.ids.tolist()).double() / 255, (0, 2, 3), correction=0
    )
    assert channel_statistics(split)[0] == pytest.approx(mean.tolist())
    assert channel_statistics(split)[1] == pytest.approx(std.tolist())


class Given(Dataset):
    """A data set with the splits of `raw`."""

    raw: Raw

    def load(self) -> Raw:
        return self.raw


def opened(raw: Raw, seed: int = 0, **settings: float) -> Data:
    dataset = Given(**settings)  # pyright: ignore
    dataset.raw = raw
    return dataset.open(seed)


def test_published_splits_are_kept(noise: Callable[..., Split]) -> None:
    train, val, test = noise(40), noise(8), noise(9)
    data = opened(Raw(train, test, ("a", "b", "c"), val=val))
    assert (data.train, data.val, data.test) == (train, val, test)
    data = opened(Raw(train, test, ("a", "b", "c")), val_fraction=0.25)
    assert (len(data.train), len(data.val)) == (30, 10)
    assert data.test is test


def test_without_a_validation_split(noise: Callable[..., Split]) -> None:
    data = opened(Raw(noise(40), None, ("a", "b", "c")), val_fraction=0.0)
    assert (len(data.train), len(data.val), len(data.test)) == (32, 0, 8)


def test_class_counts_are_those_of_the_training_split(noise: Callable[..., Split]) -> None:
    """A listed class without examples has count 0."""
    data = opened(Raw(noise(40, classes=2), noise(5), ("a", "b", "c")), val_fraction=0.1)
    assert data.class_counts().tolist() == [18, 18, 0]


def test_class_counts_of_masks_count_pixels(noise: Callable[..., Split]) -> None:
    """Image i is i % 3 but for one pixel of 255 and one of class 7, which is not listed."""
    split = noise(2001)
    masks = (torch.arange(2001) % 3).to(torch.uint8)[:, None, None].repeat(1, 6, 5)
    masks[:, 0, 0], masks[:, 5, 4] = 255, 7
    data = opened(Raw(replace(split, labels=masks), split, ("a", "b", "c")), val_fraction=0.0)
    assert data.class_counts().tolist() == [667 * 28] * 3


def test_vector_targets_have_no_class_counts(noise: Callable[..., Split]) -> None:
    for labels in (torch.rand(20), torch.rand(20, 4), torch.rand(20, 1, 6, 5)):
        split = replace(noise(20), labels=labels)
        assert opened(Raw(split, split, ())).class_counts().tolist() == []


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        (torch.zeros(20, dtype=torch.int64), "class"),
        (torch.zeros(20, 6, 5, dtype=torch.uint8), "mask"),
        (torch.zeros(20, 6, 5, dtype=torch.int64), "mask"),
        (torch.rand(20), "vector"),
        (torch.rand(20, 4), "vector"),
        (torch.rand(20, 1, 6, 5), "image"),
    ],
)
def test_the_target_follows_from_type_and_shape(
    noise: Callable[..., Split], labels: torch.Tensor, target: str
) -> None:
    split = replace(noise(20), labels=labels)
    assert split.target == target
    assert split.classed == (target == "class")
    assert opened(Raw(split, split, ("a", "b"))).target == target


@pytest.mark.parametrize("labels", [torch.zeros(20, 2, dtype=torch.int64), torch.rand(20, 2, 2)])
def test_labels_of_an_unknown_shape_are_an_error(
    noise: Callable[..., Split], labels: torch.Tensor
) -> None:
    with pytest.raises(DataError, match="labels must be classes, masks, vectors or images, got"):
        _ = replace(noise(20), labels=labels).target


def test_statistics_are_given_or_those_of_the_training_split(noise: Callable[..., Split]) -> None:
    data = opened(Raw(noise(40), noise(5), ("a", "b", "c"), mean=(0.25,), std=(0.5,)))
    assert (data.mean, data.std) == ((0.25,), (0.5,))
    data = opened(Raw(noise(40), noise(5), ("a", "b", "c")))
    assert (data.mean, data.std) == channel_statistics(data.train)


def test_an_empty_training_split_is_a_data_error(noise: Callable[..., Split]) -> None:
    with pytest.raises(DataError, match="training split is empty"):
        opened(Raw(noise(1), noise(5), ("a", "b", "c")), val_fraction=0.9)


@pytest.mark.parametrize("setting", ["val_fraction", "test_fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_bad_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"dataset\.{setting} must be in .* {value}$"):
        Dataset(**{setting: value})
