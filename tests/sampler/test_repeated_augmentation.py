import numpy as np
import pytest
import torch

from trainer.augmentation.random_crop import RandomCrop
from trainer.core.seed import ExampleRandom
from trainer.sampler.repeated_augmentation import RepeatedAugmentation


@pytest.mark.parametrize(("repeats", "distinct"), [(1, 49), (3, 17), (7, 7), (49, 1), (100, 1)])
def test_n_rows_of_n_over_r_examples_that_stand_together(uneven, repeats, distinct):
    ids, shares = RepeatedAugmentation(repeats=repeats).rows(uneven, np.random.default_rng(0))
    assert shares is None
    assert len(ids) == 49
    groups, counts = ids.unique_consecutive(return_counts=True)
    assert len(groups) == len(groups.unique()) == distinct
    assert (counts[:-1] == repeats).all()
    assert 1 <= counts[-1] <= repeats


def test_another_part_each_epoch(uneven):
    rng = np.random.default_rng(0)
    sampler = RepeatedAugmentation()
    seen = {number for _ in range(30) for number in sampler.rows(uneven, rng)[0].tolist()}
    assert seen == set(uneven.ids.tolist())


def test_each_repetition_is_augmented_anew(uneven):
    ids, _ = RepeatedAugmentation().rows(uneven, np.random.default_rng(0))
    images = uneven.images.read(ids[:3].tolist()).float()
    assert torch.equal(images[0], images[1])
    augmented = RandomCrop(padding=3)(images, ExampleRandom(0, 0, torch.arange(3)))
    assert len(augmented.unique(dim=0)) == 3


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"sampler\.repeats must be in \[1, inf\), got 0"):
        RepeatedAugmentation(repeats=0)
