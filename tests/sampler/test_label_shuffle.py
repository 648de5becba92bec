import numpy as np
import torch

from trainer.sampler.base import by_class
from trainer.sampler.label_shuffle import LabelShuffle


def test_counts_by_hand(uneven):
    """30 rows of 12 examples: 6 occur 3 times, 6 twice; of 7 examples: 2 occur 5 times, 5 four."""
    ids, shares = LabelShuffle().rows(uneven, np.random.default_rng(0))
    assert shares is None
    counts = ids.bincount(minlength=98)
    classes = by_class(uneven)
    assert counts[classes[0]].tolist() == [1] * 30
    assert counts[classes[1]].tolist() == [3] * 6 + [2] * 6
    assert counts[classes[2]].tolist() == [5] * 2 + [4] * 5


def test_against_a_slow_loop(uneven):
    """Permuted by class, concatenated and shuffled, with the same random numbers."""
    ids, _ = LabelShuffle().rows(uneven, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rows = []
    for class_ids in by_class(uneven).values():
        rows += [class_ids[i % len(class_ids)].item() for i in rng.permutation(30)]
    assert ids.tolist() == [rows[i] for i in rng.permutation(90)]
    assert not torch.equal(ids.sort().values, ids)
