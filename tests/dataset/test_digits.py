"""The built-in digits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from trainer.dataset import Data
from trainer.dataset.digits import Digits


@pytest.fixture(scope="module")
def data() -> Data:
    return Digits().open(0)


def test_images_and_labels_are_those_of_scikit_learn(data: Data) -> None:
    """Values 0 to 16 become 0 to 255: 16 → 255, 8 → 128 (127.5 rounds to even)."""
    reference = load_digits()
    expected = np.round(reference.images * 255 / 16).astype(np.uint8)
    assert data.shape == (1, 8, 8)
    pixels = data.train.images.read(range(1797))
    assert np.array_equal(pixels[:, 0].numpy(), expected)
    assert np.array_equal(data.train.labels.numpy(), reference.target)
    assert reference.images[0, 0, 2] == 5
    assert pixels[0, 0, 0, 2] == 80  # 5 · 255 / 16 = 79.7
    assert pixels.max() == 255


def test_sizes_of_the_splits(data: Data) -> None:
    """1,797 · 0.2 = 359.4 for the test split; 0.1 of the other 1,438 for validation."""
    assert (len(data.test), len(data.val), len(data.train)) == (359, 144, 1294)
    assert data.classes == tuple("0123456789")


def test_splits_are_disjoint_and_complete(data: Data) -> None:
    ids = torch.cat([data.train.ids, data.val.ids, data.test.ids])
    assert sorted(ids.tolist()) == list(range(1797))


@pytest.mark.parametrize(("name", "part"), [("test", 0.2), ("val", 0.08), ("train", 0.72)])
def test_splits_are_stratified(data: Data, name: str, part: float) -> None:
    split = getattr(data, name)
    whole = split.labels.bincount()
    counts = split.labels[split.ids].bincount()
    assert (counts - part * whole).abs().max() < 2


def test_the_seed_changes_the_validation_but_not_the_test_split(data: Data) -> None:
    other, repeated = Digits().open(1), Digits().open(0)
    assert torch.equal(data.test.ids, other.test.ids)
    assert not torch.equal(data.val.ids, other.val.ids)
    assert torch.equal(data.val.ids, repeated.val.ids)
    assert torch.equal(data.train.ids, repeated.train.ids)


def test_the_test_split_does_not_depend_on_val_fraction(data: Data) -> None:
    other = Digits(val_fraction=0.3).open(5)
    assert torch.equal(data.test.ids, other.test.ids)
    assert len(other.val) == 431  # 0.3 · 1,438 = 431.4


def test_statistics_are_those_of_the_training_pixels(data: Data) -> None:
    pixels = data.train.images.read(data.train.ids.tolist()).double() / 255
    assert data.mean[0] == pytest.approx(pixels.mean().item(), rel=1e-9)
    assert data.std[0] == pytest.approx(pixels.std().item(), rel=1e-4)
