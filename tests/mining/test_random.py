import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.random import Random


def test_the_part_is_uniform_and_needs_no_ranks():
    ones = torch.ones(10)
    ids = torch.arange(10)[:, None]
    batch = Batch(torch.zeros(10, 1, 1, 1), ids, ones[:, None], ids, ones, ones)
    chosen = torch.zeros(10)
    for step in range(500):
        part = Random(keep=0.3).select(batch, pytest.fail, StepId(0, 0, step))
        assert len(part) == 3
        assert part.index[:, 0].tolist() == sorted(set(part.index[:, 0].tolist()))
        chosen[part.index[:, 0]] += 1
    assert chosen.sum() == 1500
    assert ((chosen - 150).abs() < 50).all()
    again = Random(keep=0.3).select(batch, pytest.fail, StepId(0, 0, 499))
    assert torch.equal(part.index, again.index)
