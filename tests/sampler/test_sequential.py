import numpy as np
import pytest

from trainer.sampler.sequential import Sequential


def test_dataset_order_without_random_numbers(uneven):
    ids, shares = Sequential().rows(uneven, pytest.fail)
    assert ids.tolist() == uneven.ids.tolist()
    assert shares is None
    assert Sequential().rows(uneven, np.random.default_rng(0))[0].tolist() == ids.tolist()
