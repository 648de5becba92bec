from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.base import counted, hardest, keep_count
from trainer.mining.ohem import Ohem

MOMENT = StepId(0, 0, 0)


def batch_of(size: int) -> Batch:
    ones = torch.ones(size)
    ids = torch.arange(size)[:, None]
    return Batch(torch.zeros(size, 1, 2, 2), ids, ones[:, None], ids, ones, ones)


def test_the_hardest_fraction():
    ranks = torch.tensor([0.1, 3.0, 0.5, 2.0])
    weighed = Ohem(keep=0.5).weigh(ranks, batch_of(4), MOMENT)
    assert weighed.weight.tolist() == weighed.count.tolist() == [0, 1, 0, 1]


def test_against_a_slow_loop():
    ranks = torch.randn(50, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    weighed = Ohem(keep=0.3).weigh(ranks, batch_of(50), MOMENT)
    slow = sorted(range(50), key=lambda i: (-ranks[i].item(), i))[:15]
    assert weighed.count.nonzero()[:, 0].tolist() == sorted(slow)


def test_the_threshold_applies_to_the_probability():
    """p_y = 0.9, 0.2, 0.6, 0.4 with threshold 0.5 selects 0.2 and 0.4, and at least min_kept."""
    ranks = 1 - torch.tensor([0.9, 0.2, 0.6, 0.4])
    miner = Ohem(threshold=0.5)
    assert miner.score == "confidence"
    assert miner.weigh(ranks, batch_of(4), MOMENT).count.tolist() == [0, 1, 0, 1]
    three = Ohem(threshold=0.5, min_kept=3).weigh(ranks, batch_of(4), MOMENT)
    assert three.count.tolist() == [0, 1, 1, 1]
    none = Ohem(threshold=0.1).weigh(ranks, batch_of(4), MOMENT)
    assert none.count.tolist() == [0, 1, 0, 0]


def test_pixels_are_selected_individually():
    ranks = torch.arange(8.0).view(2, 2, 2)
    weighed = Ohem(keep=0.25).weigh(ranks, batch_of(2), MOMENT)
    assert weighed.count.flatten().tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


def test_rows_that_do_not_count_are_never_chosen():
    batch = replace(batch_of(4), count=torch.tensor([1.0, 0, 1, 1]))
    ranks = torch.tensor([1.0, 9, 2, 3])
    assert hardest(ranks, counted(ranks, batch), 2).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("number", "keep", "least", "expected"),
    [(64, 0.25, 1, 16), (10, 0.25, 1, 3), (3, 0.1, 1, 1), (3, 0.1, 2, 2), (2, 1.0, 5, 2)],
)
def test_the_number_kept(number, keep, least, expected):
    assert keep_count(number, keep, least) == expected
