import numpy as np
import pytest
import torch

from trainer.augmentation.random_crop import RandomCrop
from trainer.core.seed import ExampleRandom
from trainer.sampler.repeated_augmentation import RepeatedAugmentation


@pytest.mark.parametrize(("repeats", "distinct"), [(1, 49), (3, 17), (7, 7), (49, 1), (100, 1)])
def test_repeats_are_adjacent_and_the_epoch_keeps_its_length(uneven, repeats, distinct):
    ids, shares = RepeatedAugmentation(repeats=repeats).rows(uneven, np.random.default_rng(0))
    assert shares is None
    assert len(ids) == 49
    groups, counts = ids.unique_consecutive(return_counts=True)
    assert len(groups) == len(groups.unique()) == distinct
    assert (counts[:-1] == repeats).all()
    assert 1 <= counts[-1] <= repeats


def test_each_epoch_draws_other_examples(uneven):
    rng = np.random.default_rng(0)
    sampler = RepeatedAugmentation()
    seen = {i for _ in range(30) for i in sampler.rows(uneven, rng)[0].tolist()}
    assert seen == set(uneven.ids.tolist())


def test_repeats_are_augmented_independently(uneven):
    ids, _ = RepeatedAugmentation().rows(uneven, np.random.default_rng(0))
    images = uneven.images.read(ids[:3].tolist()).float()
    assert torch.equal(images[0], images[1])
    augmented = RandomCrop(padding=3)(images, ExampleRandom(0, 0, torch.arange(3)))
    assert len(augmented.unique(dim=0)) == 3


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"sampler\.repeats must be in \[1, inf\), got 0"):
        RepeatedAugmentation(repeats=0)
