import numpy as np
import pytest

from trainer.sampler.undersample import Undersample

imblearn = pytest.importorskip("imblearn.under_sampling")


@pytest.mark.parametrize(
    ("strategy", "expected"), [("not_minority", [7, 7, 7]), ("majority", [7, 12, 7])]
)
def test_class_counts_are_those_of_imbalanced_learn(uneven, strategy, expected):
    ids, shares = Undersample(strategy=strategy).rows(uneven, np.random.default_rng(0))
    assert shares is None
    assert len(ids.unique()) == len(ids), "without replacement"
    assert uneven.labels[ids].bincount().tolist() == expected
    features, labels = uneven.ids[:, None].numpy(), uneven.labels[uneven.ids].numpy()
    theirs = imblearn.RandomUnderSampler(
        sampling_strategy=strategy.replace("_", " "), random_state=0
    )
    assert np.bincount(theirs.fit_resample(features, labels)[1]).tolist() == expected


def test_each_epoch_draws_other_examples(uneven):
    rng = np.random.default_rng(0)
    seen = {i for _ in range(40) for i in Undersample().rows(uneven, rng)[0].tolist()}
    assert seen == set(uneven.ids.tolist())
