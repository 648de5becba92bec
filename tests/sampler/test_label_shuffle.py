import numpy as np
import torch

from trainer.sampler.base import by_class
from trainer.sampler.label_shuffle import LabelShuffle


def test_a_permutation_modulo_the_classs_own_count(uneven):
    """In 30 rows, 6 of 12 examples occur three times and 6 twice; of 7, 2 five times and 5 four."""
    ids, shares = LabelShuffle().rows(uneven, np.random.default_rng(0))
    assert shares is None
    counts = ids.bincount(minlength=98)
    classes = by_class(uneven)
    assert counts[classes[0]].tolist() == [1] * 30
    assert counts[classes[1]].tolist() == [3] * 6 + [2] * 6
    assert counts[classes[2]].tolist() == [5] * 2 + [4] * 5


def test_against_the_definition(uneven):
    """Concatenated, then shuffled, with the same random numbers."""
    ids, _ = LabelShuffle().rows(uneven, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    listed = []
    for class_ids in by_class(uneven).values():
        listed += [class_ids[position % len(class_ids)].item() for position in rng.permutation(30)]
    assert ids.tolist() == [listed[position] for position in rng.permutation(90)]
    assert not torch.equal(ids.sort().values, ids)
