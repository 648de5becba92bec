import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.ohem_two_pass import OhemTwoPass


def test_the_hardest_of_the_pool_are_trained_on():
    ones = torch.ones(8)
    ids = torch.arange(8)[:, None] + 50
    images = torch.arange(8.0).view(8, 1, 1, 1)
    pool = Batch(images, ids, ones[:, None], ids, ones, ones)
    ranks = torch.tensor([0.0, 5, 1, 4, 2, 2, 0, 3])
    chosen = OhemTwoPass(keep=0.25).select(pool, lambda batch: ranks, StepId(0, 0, 0))
    assert chosen.index[:, 0].tolist() == [51, 53]
    assert chosen.images.flatten().tolist() == [1, 3]
    assert chosen.count.tolist() == [1, 1]


def test_keep_is_checked():
    with pytest.raises(ValueError, match=r"mining\.keep must be in \(0, 1\], got 2"):
        OhemTwoPass(keep=2.0)
