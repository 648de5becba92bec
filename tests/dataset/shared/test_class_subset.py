"""dataset.classes keeps some classes, in the given order, in all splits."""

from typing import Any

import pytest
import torch

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data, Dataset, Raw, Split
from trainer.dataset.base import Pixels
from trainer.dataset.digits import Digits
from trainer.dataset.shared.class_subset import class_id, keep_classes


def split_of(labels: list[int]) -> Split:
    pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return Split(Pixels(pixels), torch.tensor(labels), torch.arange(len(labels)))


def test_keep_classes_by_hand() -> None:
    """Class 2 becomes 0 and class 0 becomes 1; ids do not change, and other labels are −1."""
    kept = keep_classes(split_of([0, 1, 2, 2, 1, 0]), [2, 0])
    assert kept.ids.tolist() == [0, 2, 3, 5]
    assert kept.labels.tolist() == [1, -1, 0, 0, -1, 1]


class Given(Dataset):
    """A data set with the splits of `raw`."""

    raw: Raw

    def load(self) -> Raw:
        return self.raw


def opened(raw: Raw, **settings: Any) -> Data:
    dataset = Given(**settings)
    dataset.raw = raw
    return dataset.open(0)


def test_all_splits_keep_the_same_classes_and_ids() -> None:
    """Each split is a subset of the one with all classes: no test example is trained on."""
    whole, data = Digits().open(3), Digits(classes=[7, 3]).open(3)
    assert data.classes == ("7", "3")
    for name in ("train", "val", "test"):
        before, after = getattr(whole, name), getattr(data, name)
        old = before.labels[before.ids]
        assert torch.equal(after.ids, before.ids[(old == 3) | (old == 7)])
        assert torch.equal(after.labels[after.ids] == 0, before.labels[after.ids] == 7)
        assert len(after.images) == len(after.labels) == 1797
    assert data.class_counts().tolist() == whole.class_counts()[[7, 3]].tolist()


def test_published_splits_keep_the_classes_too() -> None:
    train, val, test = split_of([0, 1, 2] * 5), split_of([2, 1, 1]), split_of([0, 2, 0])
    data = opened(Raw(train, test, ("a", "b", "c"), val=val), classes=["c", "a"])
    assert (len(data.train), data.val.ids.tolist(), data.test.ids.tolist()) == (10, [0], [0, 1, 2])
    assert data.test.labels.tolist() == [1, 0, 1]


def test_degradations_follow_the_selection() -> None:
    """The tail follows the order of the kept classes: 8 is the largest, 0 the smallest."""
    data = Digits(classes=[8, 0], imbalance=4.0, label_noise=0.1, threshold_class=True).open(0)
    assert data.classes == ("8", "0", "threshold")
    assert data.threshold == 2
    assert data.true_labels is not None
    counts = data.true_labels[data.train.ids].bincount()
    assert counts.tolist() == [126, 31]  # 126 / 4 rounded down
    assert int((data.train.labels[data.train.ids] == 2).sum()) == len(data.train) // 3


@pytest.mark.parametrize(
    ("item", "number"),
    [("cat", 0), ("10", 1), (10, 1), (2, 2), ("dog", 2), (0, 0)],
)
def test_names_take_precedence_over_ids(item: int | str, number: int) -> None:
    """10 means a class named 10, though there are three classes."""
    assert class_id(item, ("cat", "10", "dog")) == number


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([3, 12], r"dataset\.classes: no class 12 among the 10\."),
        (["three"], r"dataset\.classes: no class three among the 10\.$"),
        ([-1], r"dataset\.classes: no class -1 among the 10\."),
        ([3, "3"], r"dataset\.classes lists a class twice: 3, 3$"),
    ],
)
def test_unknown_and_repeated_classes_are_named(classes: list[int | str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Digits(classes=classes).open(0)


def test_a_misspelt_class_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no class hose among the 2\. Did you mean horse\?"):
        class_id("hose", ("horse", "ship"))


def test_an_empty_list_and_a_class_without_examples_are_errors() -> None:
    with pytest.raises(ValueError, match=r"dataset\.classes must list a class"):
        Digits(classes=[])
    train = split_of([0, 1] * 5)
    with pytest.raises(DataError, match=r"dataset\.classes: class c has no training examples"):
        opened(Raw(train, train, ("a", "b", "c")), classes=["a", "c"])
