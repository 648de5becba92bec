import numpy as np
import pytest

from trainer.sampler.oversample import Oversample

imblearn = pytest.importorskip("imblearn.over_sampling")


def test_every_example_as_often_as_the_others_of_its_class_or_once_more(uneven):
    """Classes of 30, 12 and 7 come to 30: each example once; 2 or 3 times; 4 or 5 times."""
    ids, shares = Oversample().rows(uneven, np.random.default_rng(0))
    assert shares is None
    counts = ids.bincount(minlength=98)[uneven.ids]
    labels = uneven.labels[uneven.ids]
    assert [sorted(set(counts[labels == c].tolist())) for c in range(3)] == [[1], [2, 3], [4, 5]]
    extra = [
        set((Oversample().rows(uneven, np.random.default_rng(seed))[0].bincount() == 5).nonzero())
        for seed in (0, 1)
    ]
    assert extra[0] != extra[1], "which ones are there once more is drawn anew"


def test_class_counts_are_those_of_imbalanced_learn(uneven):
    ids, _ = Oversample().rows(uneven, np.random.default_rng(0))
    numbers, labels = uneven.ids[:, None].numpy(), uneven.labels[uneven.ids].numpy()
    theirs, their_labels = imblearn.RandomOverSampler(random_state=0).fit_resample(numbers, labels)
    assert uneven.labels[ids].bincount().tolist() == np.bincount(their_labels).tolist()
    assert set(ids.tolist()) == set(theirs[:, 0].tolist())
