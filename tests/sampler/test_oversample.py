import numpy as np
import pytest
import torch

from trainer.sampler.base import by_class
from trainer.sampler.oversample import Oversample

imblearn = pytest.importorskip("imblearn.over_sampling")


def test_examples_of_a_class_occur_equally_often_to_within_one(uneven):
    """Classes of 30, 12 and 7 grow to 30: each example once; 2 or 3 times; 4 or 5 times."""
    ids, shares = Oversample().rows(uneven, np.random.default_rng(0))
    assert shares is None
    counts = ids.bincount(minlength=98)[uneven.ids]
    labels = uneven.labels[uneven.ids]
    assert [sorted(set(counts[labels == c].tolist())) for c in range(3)] == [[1], [2, 3], [4, 5]]


def test_the_remainder_is_drawn_each_epoch(uneven):
    """The 2 of 7 examples that occur five times; over 30 epochs, each of the 7 is among them."""
    rng, sampler = np.random.default_rng(0), Oversample()
    epochs = [(sampler.rows(uneven, rng)[0].bincount() == 5).nonzero()[:, 0] for _ in range(30)]
    assert {len(extra) for extra in epochs} == {2}
    assert set(torch.cat(epochs).tolist()) == set(by_class(uneven)[2].tolist())


def test_class_counts_are_those_of_imbalanced_learn(uneven):
    ids, _ = Oversample().rows(uneven, np.random.default_rng(0))
    numbers, labels = uneven.ids[:, None].numpy(), uneven.labels[uneven.ids].numpy()
    theirs, their_labels = imblearn.RandomOverSampler(random_state=0).fit_resample(numbers, labels)
    assert uneven.labels[ids].bincount().tolist() == np.bincount(their_labels).tolist()
    assert set(ids.tolist()) == set(theirs[:, 0].tolist())
